"""A user's own primitive, match, cell and loss terms, from a file outside the package."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from autoreg.errors import InputError
from autoreg.extensions import load_extensions
from autoreg.networks import PRIMITIVES, register_primitive

ROOT = Path(__file__).parents[1]
EXTENSION, SPACE = ROOT / "examples" / "own_primitive.py", ROOT / "examples" / "own_space.yaml"


def autoreg(*arguments: object, code: int = 0) -> str:
    command = [sys.executable, "-m", "autoreg", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.mark.slow
@pytest.mark.ray
def test_the_example_searches_on_ray_workers_and_its_model_registers(phantoms, tmp_path, ray_cluster):
    given = ["--extension", EXTENSION, "search", ROOT / "launchers" / "configs" / "smoke.yaml", "--dataset", phantoms]
    sets = {"space": SPACE, "search.rounds": 4, "tracking.home": tmp_path / "home"}
    settings = [part for key, value in sets.items() for part in ("--set", f"{key}={value}")]
    autoreg(*given, *settings, "--output", tmp_path / "search", "--quiet", "--address", ray_cluster)
    result = json.loads((tmp_path / "search" / "result.json").read_text())
    assert set(result["loss_weights"]) == {"absolute", "size", "smoothness"}
    assert result["extensions"] == [str(EXTENSION)]
    genotype = (tmp_path / "search" / "genotype.yaml").read_text()
    assert "match: product" in genotype and "cell: residual" in genotype

    finalist = tmp_path / "search" / "finalists" / "by-alpha" / "model.pt"
    images = sorted((phantoms.parent / "images").glob("*.nii.gz"))[:2]
    warped = ["--warped", tmp_path / "warped.nii.gz"]
    autoreg("--extension", EXTENSION, "register", finalist, *images, *warped)
    error = autoreg("register", finalist, *images, *warped, code=2)
    assert "'product'" in error or "blur3" in error


OWN = """
import sys, torch
from autoreg.config import load_space
from autoreg.extensions import load_extensions
from autoreg.networks import RELAXATIONS, Genotype, Supernet

load_extensions([sys.argv[1]])
choices = load_space(sys.argv[2], dims=2).choices
pair = torch.rand(2, 1, 1, 16, 24)
alpha = torch.where(torch.from_numpy(choices.there), 0.0, -torch.inf)
mixed = Supernet(choices)(*pair, RELAXATIONS["softmax"](alpha, torch.Generator()))
genotype = Genotype.from_dict(choices.genotype([0] * len(choices.rows)).to_dict())
network = genotype.build()
print(genotype.architecture.cell, type(network.features[0]).__name__, genotype.architecture.deformation_channels)
print([*mixed.displacement.shape] == [*network(*pair).displacement.shape] == [1, 2, 16, 24])
"""


def test_the_example_is_searched_and_decoded_with_structure():
    command = [sys.executable, "-c", OWN, str(EXTENSION), str(SPACE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines() == ["residual Residual (8, 4, 4)", "True"], done.stderr


def test_without_the_file_its_names_are_unknown(phantoms, tmp_path):
    error = autoreg("search", "--set", f"space={SPACE}", "--dataset", phantoms, "--output", tmp_path / "x", code=2)
    assert "architecture.match: expected one of concat, cost, concat+cost, concat+force, got 'product'" in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", "extension failed: ZeroDivisionError: division by zero"),
        ("def f(:", "extension failed: SyntaxError"),
        (
            "from autoreg.networks import register_primitive\nregister_primitive('conv3')(None)",
            "primitive 'conv3': the name is taken",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_extensions([path])
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.py"):
        load_extensions([tmp_path / "nowhere.py"])


def test_a_failed_registration_changes_nothing():
    before = dict(PRIMITIVES)
    with pytest.raises(ValueError, match="taken"):
        register_primitive("sep3")
    assert before == PRIMITIVES
