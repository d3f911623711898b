"""The model card: what a network was made from, how good it is, and what it is not for."""

from collections.abc import Mapping, Sequence
from typing import Any

from autoreg.registration.model import Model

_CARD = """# {name}

Deformable registration of two images, trained by AutoReg {version} ({commit}) on {dataset} (SHA-256 {hash}).

## Use

    import torch

    network = torch.export.load("models/model.pt2").module()
    displacement = network(fixed, moving)

`fixed` and `moving` are float32 tensors {shape}, intensities in 0 to 1, on one grid. `displacement` is {field}, in
voxels, components in axis order: warped(x) = moving(x + u(x)). Images of other sizes are padded to the shape first, and
intensities prepared as in training: {data}. AutoReg does both itself with `models/model.pt`:
`autoreg register models FIXED MOVING --warped WARPED`.

The graph and the network differ by at most {difference:.3g} voxels on random images.

## Quality

{metrics}

Loss weights: {weights}. Labels: {labels}.

## Limits

Figures are of the data above and say little of other scanners, organs or patients; look at your own pairs, and at folds
of the displacement. Research software, not a medical device.
"""


def model_card(model: Model, result: Mapping[str, Any], shape: Sequence[int], difference: float) -> str:
    """The card in Markdown.

    Args:
        result: result.json of the training; what it lacks is called unknown.
        shape: of the images that the exported graph takes.
        difference: of graph and network, voxels.
    """
    metrics = {k: v for k, v in (result.get("metrics") or {}).items() if v is not None}
    rows = [f"| {name} | {value:.4g} |" for name, value in metrics.items()]
    known = {key: result.get(key) or "unknown" for key in ("name", "version", "commit", "dataset", "dataset_hash")}
    return _CARD.format(
        **{key: known[key] for key in ("name", "version", "commit", "dataset")},
        hash=known["dataset_hash"],
        shape=(1, 1, *shape),
        field=(1, len(shape), *shape),
        data=", ".join(f"{key} {value}" for key, value in model.data.items()) or "unknown",
        difference=difference,
        metrics="\n".join(["| metric | value |", "|---|---:|", *rows]) if rows else "Unknown.",
        weights=", ".join(f"{name} {weight:.3g}" for name, weight in model.loss_weights.items()) or "unknown",
        labels=", ".join(f"{number} {name}" for number, name in model.labels.items()) or "none",
    )
