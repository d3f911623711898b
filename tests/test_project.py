"""What is shipped beside the code loads, parses and agrees: configurations, spaces, launchers, README, pins."""

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from autoreg.cli import main
from autoreg.config import load_config, load_space

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "launchers" / "configs").glob("*.yaml"))
SPACES = sorted((ROOT / "search_spaces").glob("*.yaml"))
SCRIPTS = [ROOT / ".ci" / "run"]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def name(path: Path) -> str:
    return path.name


def commands(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        yield from commands(command) if isinstance(command, click.Group) else [command]


def lines(text: str, program: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if re.match(rf"\s+{program} ", line)]


def parse(line: str) -> None:
    """Raises click.UsageError or KeyError for a command line that AutoReg would refuse; runs nothing."""
    tokens = shlex.split(line, comments=True)[1:]
    command: click.Command = main
    while isinstance(command, click.Group):
        command = command.commands[tokens.pop(0)]
    command.make_context(command.name, tokens)


@pytest.mark.parametrize("path", CONFIGS, ids=name)
@pytest.mark.parametrize("dims", [2, 3])
def test_shared_configuration_loads_with_its_space(path: Path, dims: int) -> None:
    assert load_space(load_config(path).space, dims=dims).architecture.dims == dims


@pytest.mark.parametrize("path", SPACES, ids=name)
def test_search_space_is_called_like_its_file(path: Path) -> None:
    assert load_space(path.stem, dims=3) == load_space(str(path), dims=3)
    assert load_space(path.stem, dims=3).name == path.stem


def test_readme_commands_parse() -> None:
    found = lines((ROOT / "README.md").read_text(), "autoreg")
    assert len(found) >= 8
    for line in found:
        parse(line)


@pytest.mark.parametrize("command", list(commands(main)), ids=lambda command: command.name)
def test_help_has_an_example_that_parses(command: click.Command) -> None:
    examples = lines(command.help or "", "autoreg")
    assert examples
    for line in examples:
        parse(line)


@pytest.mark.parametrize(
    "line", ["autoreg sarch", "autoreg search --datset d.json", "autoreg tune --trials many", "autoreg data"]
)
def test_a_wrong_command_does_not_parse(line: str) -> None:
    with pytest.raises((click.UsageError, KeyError, IndexError)):
        parse(line)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_make_targets_exist(page: Path) -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    wanted = re.findall(r"(?:^\s+|`)make ([a-z-]+)", page.read_text(), flags=re.M)
    assert set(wanted) <= known


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files(page: Path) -> None:
    text = page.read_text()
    targets = re.findall(r"\]\(([^)#]+)", text) + re.findall(r'src="([^"]+)"', text)
    missing = [t for t in targets if not t.startswith("https://") and not (page.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_shell_script_has_no_syntax_error(path: Path) -> None:
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_test_that_the_fault_model_names_exists() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text()
    named: list[tuple[str, str]] = []
    for cell in re.findall(r"`((?:\w+/)?(?:test_\w+\.py)?(?:::test_\w+)?)`", text):
        file, _, function = cell.partition("::")
        named += [(file or named[-1][0], function)] if cell else []
    assert len(named) > 15
    for file, function in named:
        (path,) = [p for p in (ROOT / "tests").rglob("*.py") if str(p).endswith(f"/{file}")]
        assert f"def {function}" in path.read_text(), (file, function)


def test_every_requirement_is_pinned_within_its_bounds() -> None:
    text = (ROOT / "constraints.txt").read_text()
    pins = {pin.lower(): Version(version) for pin, version in re.findall(r"^([\w.-]+)==(\S+)$", text, flags=re.M)}
    assert not [pin for pin, version in pins.items() if version.local]
    extras = PROJECT["optional-dependencies"]
    for requirement in map(Requirement, [*PROJECT["dependencies"], *extras["run"], *extras["dev"]]):
        if requirement.name != "autoreg":
            assert pins[requirement.name.lower()] in requirement.specifier, requirement
