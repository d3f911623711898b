"""What the pages say: links lead somewhere, commands exist, and the blocks of commands are really executed.

Quick tests parse every command; the slow ones execute the blocks of the user pages in their order, on small generated
volumes. The text of a command stays as it is: `PLACES` says what stands for its placeholders, `small` which options are
appended to make it short, and `NOT_EXECUTED` which lines are parsed only, and why.
"""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from object_store import BUCKET, request, s3_server

from autoreg import errors
from autoreg.cli import main
from autoreg.config import read_yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
OTHERS = [*sorted((ROOT / "examples").glob("*.*")), *sorted((ROOT / "launchers" / "configs").glob("*.yaml"))]
SMOKE = ROOT / "launchers" / "configs" / "smoke.yaml"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.M | re.S)
SHELL = re.compile(r"(autoreg|make|source|bash|sbatch|ray|kubectl|python|pip|AUTOREG_\w+=\S+|\.ci/\w+) ")

EXECUTED = [
    "README.md",
    "get-started.md",
    "data.md",
    "report.md",
    "extending.md",
    "classical.md",
    "cluster.md",
    "scaling.md",
    "studies.md",
]
"""Pages whose blocks are executed, in this order: the later ones use what README leaves."""

PLACES = {
    "CONFIG.yaml": "small.yaml",
    "/data/D.json": "/data/set/dataset.json",
    "D.json": "prepared/dataset.json",
    "MODEL": "runs/mydata/search-1/train",
    "launchers/configs/hippocampus.yaml": "small.yaml",
    "runs/hippocampus/search-1/train": "runs/mydata/search-1/train",
}
"""What stands for a placeholder. `small.yaml` is launchers/configs/smoke.yaml with fewer steps."""

NOT_EXECUTED = {
    "make ": "a stage of .ci/run, or hours (chaos)",
    "source .venv/bin/activate": "the tests are in the environment already",
    "autoreg ui ": "a server that does not end; test_browser.py starts it",
    "autoreg classical fireants": "an optional peer; tests/classical where it is installed",
    "autoreg compare runs/hippocampus/search-1/train runs/hippocampus/fireants": "needs the line above",
    "autoreg search CONFIG.yaml --dataset D.json --address HEAD": "a cluster; test_launch_local.py",
    "bash start.sh": "test_launch_local.py runs such a file",
    "sbatch ": "needs Slurm",
    "ray up ": "needs hosts",
    "kubectl ": "needs Kubernetes",
    "autoreg sweep CONFIG.yaml --dataset D.json --seeds 2 --vary space=compact,topology": "needs a GPU",
    "autoreg study peers": "optional peers; tests/studies",
}
"""Beginning of a line -> why it is parsed only."""


def name(path: Path) -> str:
    return path.name


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]+`", "", FENCE.sub("", text))


def block_lines(text: str) -> list[str]:
    """Lines of shell in the code blocks of a page, without `$ `."""
    fenced = [
        line for kind, body in FENCE.findall(text) if kind in ("", "console", "bash") for line in body.splitlines()
    ]
    indented = [line[4:] for line in FENCE.sub("", text).splitlines() if line.startswith("    ")]
    fenced = [line.removeprefix("$ ") for line in fenced if line.startswith("$ ")]
    return [line.strip() for line in (*fenced, *indented) if SHELL.match(line)]


def spans(text: str) -> list[str]:
    """Commands named within a sentence."""
    found = (" ".join(span.split()) for span in re.findall(r"`(autoreg [^`]+)`", FENCE.sub("", text)))
    return [span for span in found if not re.search(r"[|]|\.\.\.|COMMAND", span)]


def parse(line: str) -> None:
    """Raises click.UsageError for a command line that AutoReg would refuse; runs nothing."""
    tokens = shlex.split(line, comments=True)[1:]
    command: click.Command = main
    while isinstance(command, click.Group):
        context = click.Context(command, info_name=command.name)
        tokens = command.make_parser(context).parse_args(tokens)[1]
        if not tokens:
            raise click.MissingParameter(f"{line}: names no command", context)
        if tokens[0] not in command.commands:
            raise click.UsageError(f"{line}: no such command")
        command = command.commands[tokens.pop(0)]
    command.make_context(command.name, tokens)


def slugs(page: Path) -> set[str]:
    """Anchors of a page: headings as mkdocs and the repository's host write them, and names of the reference."""
    text = FENCE.sub("", page.read_text())
    headings = [re.sub(r"[^\w\- ]", "", title.lower()).strip() for title in re.findall(r"^#+ (.+)$", text, flags=re.M)]
    return {title.replace(" ", "-") for title in headings} | set(re.findall(r"^::: (\S+)$", text, flags=re.M))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        file, _, anchor = target.partition("#")
        there = page.parent / file if file else page
        if not target.startswith("https://") and (not there.exists() or (anchor and anchor not in slugs(there))):
            wrong.append(target)
    assert not wrong


def test_the_site_lists_every_page() -> None:
    listed = set(re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.M))
    assert listed == {page.name for page in DOCS.glob("*.md")}


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=name)
def test_commands_exist_with_their_options(page: Path) -> None:
    text = page.read_text()
    lines = block_lines(text) if page.suffix == ".md" else re.findall(r"^(?:#\s+| +)(autoreg .+)$", text, flags=re.M)
    wrong_on_purpose = ("autoreg serch",)
    for line in lines:
        if line.startswith("autoreg ") and line not in wrong_on_purpose:
            parse(line)
    for span in spans(text) if page.suffix == ".md" else []:
        with suppress(click.MissingParameter, click.BadOptionUsage):  # it names a command, and some of its options
            parse(span)


@pytest.mark.parametrize(
    "line", ["autoreg sarch", "autoreg search --datset d", "autoreg evaluate m --split all", "autoreg"]
)
def test_a_wrong_command_does_not_parse(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(line)


def test_every_line_is_executed_or_has_its_reason() -> None:
    lines = [line for page in EXECUTED for line in block_lines(path_of(page).read_text())]
    unknown = [line for line in lines if not line.startswith("autoreg ") and not reason(line)]
    assert not unknown
    assert ON_RAY in lines
    assert not [start for start in NOT_EXECUTED if not any(line.startswith(start) for line in lines)]
    with_commands = {
        page.name for page in PAGES if any(s.startswith("autoreg ") for s in block_lines(page.read_text()))
    }
    # results: figures with the commands that made them, hours each; errors has a test of its own
    assert with_commands - set(EXECUTED) == {"results.md", "errors.md"}


def test_every_error_class_is_explained() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:`(\w+)`)? ?\| ([\d-]) \|", (DOCS / "errors.md").read_text(), flags=re.M)
    classes = {
        value.__name__: value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.AutoRegError)
    }
    assert {row[0] for row in rows} == set(classes)
    for title, base, code in rows:
        kind = classes[title]
        assert base == ("" if kind is errors.AutoRegError else kind.__mro__[1].__name__)
        if code != "-":  # an estimator's refusal that a search answers by itself
            assert code == ("2" if issubclass(kind, errors.InputError) else "1")


def test_every_question_has_an_answer_that_leads_on() -> None:
    parts = re.split(r"^### ", (DOCS / "faq.md").read_text(), flags=re.M)[1:]
    assert len(parts) >= 25
    for part in parts:
        title, _, answer = part.partition("\n")
        assert "Asked of" in answer, title
        assert re.search(r"`(autoreg |--|\w+\.\w+)|\]\(", answer), title


def test_python_of_the_pages_is_python() -> None:
    for page in PAGES:
        for _, body in (found for found in FENCE.findall(page.read_text()) if found[0] == "python"):
            ast.parse(body)


@pytest.fixture
def registries() -> Iterator[None]:
    """Names that a test registers are gone afterwards."""
    from autoreg import losses, networks
    from autoreg.networks import matching

    kinds: tuple[dict[str, Any], ...] = (
        networks.PRIMITIVES,
        networks.MATCHES,
        networks.CELLS,
        matching.VIEWS,
        losses.SIMILARITIES,
        losses.SMOOTHNESS,
    )
    before: list[dict[str, Any]] = [dict(kind) for kind in kinds]
    for kind in kinds:  # the example of another test has a name of ours
        kind.pop("blur3", None)
    yield
    for kind, names in zip(kinds, before, strict=True):
        kind.clear()
        kind.update(names)


def test_python_of_extending_runs(registries: None) -> None:
    from autoreg.losses import SIMILARITIES, SMOOTHNESS
    from autoreg.networks import CELLS, MATCHES, PRIMITIVES

    bodies = [body for kind, body in FENCE.findall((DOCS / "extending.md").read_text()) if kind == "python"]
    assert len(bodies) == 4
    for body in bodies:
        exec(compile(body, "extending.md", "exec"), {"__name__": "extension"})
    assert "blur3" in PRIMITIVES and "gated" in MATCHES and "skipping" in CELLS
    assert "absolute_difference" in SIMILARITIES and "length" in SMOOTHNESS


@pytest.fixture
def newcomer(phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that docs/errors.md speaks of, in the working directory."""
    import nibabel as nib
    import numpy as np
    import torch

    monkeypatch.chdir(tmp_path)
    shutil.copytree(phantoms.parent, "phantoms")
    image = nib.load("phantoms/images/phantom_008.nii.gz")
    values = np.asarray(image.dataobj)
    moved = image.affine.copy()
    moved[:3, 3] += 500
    for file, array, affine in (
        ("four", np.stack([values, values], -1), image.affine),
        ("smaller", values[2:, :, :-3], image.affine),
        ("far", values, moved),
    ):
        nib.save(nib.Nifti1Image(array, affine), f"{file}.nii.gz")
    for folder, source, target in (
        ("imageaslabel", image, "labels/phantom_001"),
        ("othergrid", nib.load("smaller.nii.gz"), "images/phantom_001"),
    ):
        shutil.copytree("phantoms", folder)
        nib.save(nib.Nifti1Image(np.asarray(source.dataobj), source.affine), f"{folder}/{target}.nii.gz")
    for folder in ("oldmodel", "tornmodel"):
        Path(folder).mkdir()
    torch.save({"format": 0}, "oldmodel/model.pt")
    Path("tornmodel/model.pt").write_bytes(b"torn")
    Path("CONFIG.yaml").write_text(
        "space: tiny\ntrain: {steps: 2, steps_per_round: 1, evaluate_every: 2, selection_pairs: 2, warmup_steps: 1}\n"
        "workers: {local: true}\n"
    )
    return tmp_path


def shown(text: str) -> list[tuple[str, str]]:
    """(command, output) of the console blocks of a page."""
    bodies = "".join(body for kind, body in FENCE.findall(text) if kind == "console")
    return [tuple(part.split("\n", 1)) for part in re.split(r"^\$ ", bodies, flags=re.M)[1:]]  # type: ignore[misc]


@pytest.mark.slow
def test_a_newcomer_sees_what_the_page_shows(newcomer: Path) -> None:
    """docs/errors.md: `...` stands for anything."""
    from click.testing import CliRunner

    for command, expected in shown((DOCS / "errors.md").read_text()):
        done = CliRunner().invoke(main, shlex.split(command)[1:], prog_name="autoreg")
        assert done.exception is None or isinstance(done.exception, SystemExit), command
        pattern = re.escape(expected.strip()).replace(re.escape("..."), "(.|\n)*")
        assert re.fullmatch(pattern, done.output.strip()), f"{command}\n{done.output}\nexpected\n{expected}"
        assert done.exit_code == (2 if "autoreg: " in done.output or "Error:" in done.output else 0), command


# What follows executes.


def path_of(page: str) -> Path:
    return README if page == README.name else DOCS / page


def reason(line: str) -> str | None:
    """Why a line is not executed; None where it is."""
    return next((why for start, why in NOT_EXECUTED.items() if line.startswith(start)), None)


def placed(line: str) -> str:
    for place, stands_for in PLACES.items():
        line = re.sub(rf"(?<![\w/.]){re.escape(place)}(?![\w])", stands_for, line)
    return line


def settings(values: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        yield from settings(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]


SMALL = {
    **{key: value for key, value in settings(read_yaml(SMOKE)) if not key.startswith("workers.")},
    "search.rounds": 4,
    "search.warmup_rounds": 2,
    "search.finalists": 1,
    "train.steps": 6,
    "train.steps_per_round": 3,
    "train.warmup_steps": 1,
    "tune.concurrent": 1,
}

ON_RAY = "autoreg search --dataset prepared/dataset.json --workers 2 --output runs/mydata/search-1"
"""README's search keeps its Ray workers; what takes none but its own process is quicker."""


def small(line: str) -> list[str]:
    """Options that make a command short; what the line sets itself stays, but for the numbers of trials and seeds."""
    tokens = shlex.split(line, comments=True)[1:]
    words = [token for token in tokens if token in main.commands]
    command = words[0] if words else ""
    more: list[str] = []
    fresh = command in ("search", "tune", "study", "train", "sweep") and "--resume" not in tokens
    if fresh:
        own = {token.partition("=")[0] for token in tokens}
        with_ray = command in ("tune", "sweep") or line == ON_RAY
        values: dict[str, object] = {} if with_ray else {"workers.local": "true"}
        if command != "train" or "--network" in tokens:  # else that of the search
            values |= SMALL
        more = [part for key, value in values.items() if key not in own for part in ("--set", f"{key}={value}")]
    more += {"tune": ["--trials", "2"], "study": ["--seeds", "1"], "sweep": ["--seeds", "2"]}.get(command, [])
    return tokens + more


def autoreg(line: str, folder: Path, store: dict[str, str]) -> str:
    command = [sys.executable, "-m", "autoreg", *small(placed(line))]
    environment = os.environ | store
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@dataclass
class Desk:
    """A folder as a user has it, and the pages whose blocks were executed in it."""

    folder: Path
    done: list[str]
    store: dict[str, str]

    def execute(self, page: str) -> None:
        if page in self.done:
            return
        self.done.append(page)
        for made in ("dataset.json", "dataset.png"):  # each page begins with a folder of files
            (self.folder / "mydata" / made).unlink(missing_ok=True)
        for line in block_lines(path_of(page).read_text()):
            if not reason(line):
                autoreg(line, self.folder, self.store)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """mydata has twelve subjects s01 to s12 in images/ and labels/; loose files are copies of two of them.

    The same volumes are whole data sets of several names, one of them in an S3 store.
    """
    from autoreg.data.synthetic import make_phantoms

    folder = tmp_path_factory.mktemp("desk")
    phantoms = make_phantoms(folder / "made", subjects=12, shape=(24, 24, 24), seed=0).parent
    for number, path in enumerate(sorted((phantoms / "images").iterdir()), start=1):
        for kind in ("images", "labels"):
            target = folder / "mydata" / kind / f"s{number:02d}.nii.gz"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(phantoms / kind / path.name, target)
    for copy in ("data", "data/hippocampus", "data/a", "data/b", "one", "two"):
        shutil.copytree(phantoms, folder / copy, dirs_exist_ok=True)
        written = folder / copy / "dataset.json"
        written.write_text(json.dumps(json.loads(written.read_text()) | {"name": Path(copy).name}))
    shutil.rmtree(phantoms)
    for loose, source in {
        "fixed": "images/s11",
        "moving": "images/s12",
        "other": "images/s12",
        "moving_labels": "labels/s12",
        "labels": "labels/s12",
    }.items():
        shutil.copy(folder / "mydata" / f"{source}.nii.gz", folder / f"{loose}.nii.gz")
    (folder / "pairs.csv").write_text("fixed,moving\nfixed.nii.gz,moving.nii.gz\n")
    for table in ("fixed_points.csv", "moving_points.csv"):
        (folder / table).write_text("x,y,z\n0,0,0\n1,2,3\n")
    for shipped in ("launchers", "examples", "search_spaces"):
        (folder / shipped).symlink_to(ROOT / shipped)
    (folder / "small.yaml").write_text(SMOKE.read_text())
    with s3_server() as port:
        for path in (file for file in (folder / "one").rglob("*") if file.is_file()):
            request(port, "PUT", f"/{BUCKET}/set/{path.relative_to(folder / 'one').as_posix()}", path.read_bytes())
        store = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "AKIAUSER",
            "AWS_SECRET_ACCESS_KEY": "hush",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REGION": "us-east-1",
        }
        yield Desk(folder, [], store)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", EXECUTED)
def test_blocks_are_executed(page: str, desk: Desk) -> None:
    desk.execute(README.name)
    desk.execute(page)


PROLOGUES = {
    "api.md": """
from pathlib import Path
import nibabel
import autoreg.api
from autoreg.config import load_config

small = load_config(Path("small.yaml"), SETTINGS)
autoreg.api.Config = lambda: small  # what no configuration means
fixed, moving = (nibabel.load(f"{name}.nii.gz").get_fdata() for name in ("fixed", "moving"))
""",
    "tracking.md": """
import nibabel
import pandas

fixed, moving = (nibabel.load(f"{name}.nii.gz").get_fdata() for name in ("fixed", "moving"))
table = pandas.DataFrame({"fixed": ["fixed.nii.gz"], "moving": ["moving.nii.gz"]})
""",
}
"""Page -> what its block of Python takes as given."""


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", list(PROLOGUES))
def test_blocks_of_python_are_executed(page: str, desk: Desk) -> None:
    desk.execute(README.name)
    if not (desk.folder / "mydata" / "dataset.json").exists():
        autoreg("autoreg data init mydata", desk.folder, desk.store)
    (block,) = re.findall(
        r"(?:^(?:    .*)?\n)*^    import (?:.*\n)(?:^(?:    .*)?\n)*", path_of(page).read_text(), flags=re.M
    )
    run = json.loads((desk.folder / "runs/mydata/search-1/train/result.json").read_text())["mlflow_run_id"]
    values = [f"{key}={value}" for key, value in {**SMALL, "workers.local": "true"}.items()]
    text = PROLOGUES[page].replace("SETTINGS", repr(values)) + textwrap.dedent(block).replace("RUN_ID", run)
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=desk.folder, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, f"{text}\n{done.stderr[-3000:]}"
