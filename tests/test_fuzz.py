"""Hostile input: whatever the bytes, reading ends in success or in one of our errors, soon and within bounded memory.

python -m pytest tests/test_fuzz.py                               some hundred inputs a kind
AUTOREG_FUZZ=2000 python -m pytest tests/test_fuzz.py             thousands

"""

import json
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from autoreg.choice import choose
from autoreg.config import config_from_dict, load_config, load_space, shipped
from autoreg.data.dataset import DataConfig, load_dataset
from autoreg.data.nifti import read_image, read_labels, write_nifti
from autoreg.errors import AutoRegError
from autoreg.networks import build_network
from autoreg.registration.model import load_model, save_model
from autoreg.search.checkpoint import load_checkpoint, save_checkpoint

COUNT = int(os.environ.get("AUTOREG_FUZZ", "60"))
SECONDS, MEMORY = 10.0, 2 * 2**30
fuzz = settings(
    max_examples=COUNT,
    deadline=None,
    derandomize=COUNT < 1000,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def damage(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes changed, cut, doubled, or put in, in up to four places."""
    result = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(result) - 1, 0)))
        other = draw(st.binary(min_size=1, max_size=8))
        match draw(st.sampled_from(("change", "cut", "double", "put"))):
            case "change":
                result[place : place + len(other)] = other
            case "cut":
                del result[place : place + draw(st.integers(1, 200))]
            case "double":
                result[place:place] = result[place : place + 200]
            case _:
                result[place:place] = other
    return bytes(result)


WILD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["../../etc/passwd", "/dev/zero", "s3://nowhere/x", "\x00", "a" * 5000, "1e-3", "{{x}}"]),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)


@st.composite
def twist(draw: st.DrawFn, values: object) -> object:
    """The same structure with one or more values of another kind, or keys that are missing or new."""
    if isinstance(values, dict) and draw(st.integers(0, 5)):
        kept = {k: v for k, v in values.items() if draw(st.integers(0, 15))}
        if not kept:
            return kept
        chosen = draw(st.sampled_from(sorted(kept, key=str)))
        changed = {**kept, chosen: draw(twist(kept[chosen]))}
        return changed | ({draw(st.text(max_size=8)): draw(WILD)} if not draw(st.integers(0, 7)) else {})
    if isinstance(values, list) and values and draw(st.integers(0, 5)):
        place = draw(st.integers(0, len(values) - 1))
        return [*values[:place], draw(twist(values[place])), *values[place + 1 :]]
    return draw(WILD)


def ends(read: Callable[[], object]) -> None:
    """Success or one of our errors, in time; memory beyond the bound is a MemoryError, which is not ours."""
    start = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with suppress(AutoRegError):
        read()
    assert time.monotonic() - start < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY


@pytest.fixture(scope="module")
def folder():
    path = Path(tempfile.mkdtemp())
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def dataset(flat_phantoms, folder) -> Path:
    return Path(shutil.copytree(flat_phantoms.parent, folder / "data")) / "dataset.json"


@fuzz
@given(st.data())
def test_a_dataset_json(dataset, flat_phantoms, data):
    values = json.loads(flat_phantoms.read_text())
    twisted = json.dumps(data.draw(twist(values))).encode()
    dataset.write_bytes(data.draw(st.one_of(st.just(twisted), damage(flat_phantoms.read_bytes()))))
    ends(lambda: load_dataset(dataset, DataConfig()))


@fuzz
@given(st.data())
def test_a_configuration(folder, data):
    valid = (shipped("launchers") / "configs" / "smoke.yaml").read_bytes()
    path = folder / "config.yaml"
    twisted = yaml.safe_dump(data.draw(twist(yaml.safe_load(valid))), allow_unicode=True).encode("utf-8", "replace")
    path.write_bytes(data.draw(st.one_of(st.just(twisted), damage(valid))))
    ends(lambda: load_config(path))


@fuzz
@given(st.data())
def test_a_search_space(folder, data):
    valid = (shipped("search_spaces") / "tiny.yaml").read_bytes()
    path = folder / "space.yaml"
    twisted = yaml.safe_dump(data.draw(twist(yaml.safe_load(valid))), allow_unicode=True).encode("utf-8", "replace")
    path.write_bytes(data.draw(st.one_of(st.just(twisted), damage(valid))))
    ends(lambda: load_space(str(path), dims=3))


@fuzz
@given(st.data())
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("part", ["header", "all"])
def test_a_volume(folder, suffix, part, data):
    good, path = folder / f"good{suffix}", folder / f"bad{suffix}"
    if not good.exists():
        write_nifti(good, np.arange(6**3, dtype=np.int16).reshape(6, 6, 6), np.eye(4))
    content = good.read_bytes()
    if part == "header" and suffix == ".nii":
        path.write_bytes(data.draw(damage(content[:352])) + content[352:])
    else:
        path.write_bytes(data.draw(damage(content)))
    ends(lambda: read_image(path))
    ends(lambda: read_labels(path))


@fuzz
@given(st.data())
def test_a_model(folder, data):
    good = folder / "good.model"
    if not good.exists():
        space = load_space("tiny", dims=2)
        from dataclasses import asdict

        network = {"name": "all-conv3", "architecture": asdict(space.architecture)}
        save_model(
            good,
            description=network,
            weights=build_network(network).state_dict(),
            data={"foreground": "all", "percentiles": [0, 100]},
            labels={1: "a"},
            loss_weights={"lncc": 1.0},
            common_affine=True,
        )
    bad = folder / "model.pt"
    bad.write_bytes(data.draw(damage(good.read_bytes())))
    ends(lambda: load_model(bad))


@fuzz
@given(st.data())
def test_a_checkpoint(folder, data):
    home = folder / "checkpoints"
    good = save_checkpoint(home, 1, {"place": {"rounds": 1}, "weights": np.arange(50.0)}, keep=1)
    good.write_bytes(data.draw(damage(good.read_bytes())))
    ends(lambda: load_checkpoint(home))


@fuzz
@given(st.data())
def test_a_genotype_and_loss_weights(folder, data):
    space = load_space("tiny", dims=2)
    from autoreg.networks import Genotype

    genotype = Genotype.uniform(space.architecture, space.primitives[0])
    path = folder / "genotype.yaml"
    valid = yaml.safe_dump(genotype.to_dict()).encode()
    twisted = yaml.safe_dump(data.draw(twist(yaml.safe_load(valid))), allow_unicode=True).encode("utf-8", "replace")
    path.write_bytes(data.draw(st.one_of(st.just(twisted), damage(valid))))
    ends(lambda: choose(config_from_dict({"space": "tiny"}, "fuzz"), genotype=path))


@fuzz
@given(st.text(max_size=60))
@example(">0")
@example(":")
@example("\x1f")
def test_an_override(text):
    ends(lambda: load_config(None, [text]))
    ends(lambda: load_config(None, [f"tracking.uri={text}"]))
