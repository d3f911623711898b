"""The configuration of a run: read strictly, joined from the rooms' own parts, saved in full."""

import difflib
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import dacite
import yaml

from autoreg.baselines.config import TuneConfig
from autoreg.data.dataset import DataConfig
from autoreg.errors import ConfigError, InputError
from autoreg.files import whole_file
from autoreg.registration.score import ScoreConfig
from autoreg.registration.space import SearchSpace
from autoreg.search.controller import SearchConfig
from autoreg.search.training import TrainConfig
from autoreg.workers.config import WorkerConfig


class _Loader(yaml.SafeLoader):
    """YAML whose numbers are those people write: plain YAML 1.1 reads 1e-3 as text, and a modality 0001 as a number."""


_INT = "tag:yaml.org,2002:int"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _INT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_INT, re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


@dataclass(frozen=True)
class TrackingConfig:
    """Where runs are recorded."""

    uri: str | None = None
    """MLflow tracking URI; none is a local store that needs no server."""
    home: str = "runs"
    """Folder of the local store."""
    experiment: str | None = None
    """None takes the data set's name."""

    def __post_init__(self) -> None:
        if re.search(r"//[^/@]*:[^/@]*@", self.uri or ""):  # it would stand in config.yaml, result.json and MLflow
            raise InputError(
                "tracking.uri: expected no password in it, got one; give it by MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD (a database's by its own password file)"
            )


@dataclass(frozen=True)
class Config:
    """Everything that a run depends on."""

    space: str = "compact"
    """A name in search_spaces/ or the path of a file."""
    seed: int = 0
    dataset: str | None = None
    data: DataConfig = field(default_factory=DataConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)
    workers: WorkerConfig = field(default_factory=WorkerConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


def load_config(path: Path | None, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a file with `key.key=value` overrides on top; no file gives the defaults.

    Raises:
        ConfigError: an unknown key (with the nearest known one), a wrong type or value; names file and key.
    """
    values = read_yaml(path) if path else {}
    where = str(path) if path else "configuration"
    if not overrides:
        return config_from_dict(values, where)
    for override in overrides:
        _override(values, override)
    try:
        return config_from_dict(values, "options")  # not their text, which may hold a password
    except ConfigError:
        config_from_dict(read_yaml(path) if path else {}, where)  # is it the file that is wrong?
        raise


def config_from_dict(values: Mapping[str, Any], where: str) -> Config:
    """As `load_config`, from plain values; `where` begins the message of an error."""
    _check_keys(values, Config, where, "")
    try:
        return dacite.from_dict(Config, dict(values), dacite.Config(cast=[tuple], type_hooks={float: _float}))
    except dacite.WrongTypeError as error:
        expected = getattr(error.field_type, "__name__", error.field_type)
        raise ConfigError(f"{where}: {error.field_path}: expected {expected}, got {error.value!r}") from error
    except dacite.DaciteError as error:
        raise ConfigError(f"{where}: {str(error).replace(chr(10), ' ')}") from error
    except (InputError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error


def changed(config: Config, overrides: Sequence[str]) -> Config:
    """The configuration with `key.key=value` on top. Raises ConfigError as `load_config`."""
    values = config_to_dict(config)
    for override in overrides:
        _override(values, override)
    return config_from_dict(values, "configuration")


def config_to_dict(config: Config) -> dict[str, Any]:
    """Plain values for YAML; `config_from_dict` gives the same configuration back."""
    return _plain(asdict(config))


def write_yaml(path: Path, values: Mapping[str, Any]) -> None:
    """Write plain values, whole or not at all, keys in their order."""
    with whole_file(path) as file:
        file.write(yaml.safe_dump(dict(values), sort_keys=False).encode())


def read_yaml(path: Path) -> dict[str, Any]:
    """A file's mapping. Raises ConfigError naming the file when it is missing, no YAML, or no mapping."""
    try:
        values = _parse(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values, got {type(values).__name__}")
    return values


def load_space(name: str, *, dims: int) -> SearchSpace:
    """A search space by the name of a file in search_spaces/, or by path.

    Raises:
        ConfigError: no such space; names the known ones.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        folder = shipped("search_spaces")
        path = folder / f"{name}.yaml"
        if not path.exists():
            known = sorted(p.stem for p in folder.glob("*.yaml"))
            raise ConfigError(f"space: unknown name {name!r}{_hint(name, known)}; known: {', '.join(known)}")
    try:
        return SearchSpace.from_dict(read_yaml(path), dims=dims)
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error


def shipped(folder: str) -> Path:
    """A folder that ships with AutoReg: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder


def _override(values: dict[str, Any], text: str) -> None:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise ConfigError(f"--set {text}: expected key=value, for example --set search.rounds=50")
    *parents, last = key.strip().split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {text}: {parent} is not a group of keys")
    try:
        values[last] = _parse(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text}: not a value in YAML: {' '.join(str(error).split())}") from error


def _check_keys(values: Any, kind: Any, where: str, prefix: str) -> None:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: {prefix.rstrip('.') or 'file'}: expected keys and values, got {values!r}")
    hints = typing.get_type_hints(kind)
    names = [f.name for f in fields(kind)]
    for key, value in values.items():
        if key not in names:
            raise ConfigError(f"{where}: unknown key {prefix}{key}{_hint(str(key), names)}")
        inner = hints[key]
        if is_dataclass(inner):
            _check_keys(value, inner, where, f"{prefix}{key}.")


def _hint(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else f" (known: {', '.join(known)})"


def _float(value: Any) -> Any:
    """An integer where a number is expected is one."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _parse(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
