"""Where a result came from: code, versions and machine."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch


def standard_tags() -> dict[str, str]:
    """Tags that every run carries.

    Returns:
        `mlflow.source.git.commit` (when the code is tracked by git, `-dirty` with local changes), `version.<package>`
        of autoreg, torch, ray and python, `cpu_count` of the host, and `threads`, which changes torch's rounding.
    """
    commit = git_commit()
    return {
        **({"mlflow.source.git.commit": commit} if commit else {}),
        **{f"version.{name}": _version(name) for name in ("autoreg", "torch", "ray")},
        "version.python": platform.python_version(),
        "cpu_count": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
    }


def git_commit(file: Path = Path(__file__)) -> str | None:
    """Commit of the repository that tracks `file`, with `-dirty` after local changes; None when none does."""
    # An installed package may lie inside some other repository: only one that tracks the file counts.
    if _git("ls-files", "--error-unmatch", file.name, folder=file.parent) is None:
        return None
    return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*", folder=file.parent)


def _git(*arguments: str, folder: Path) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
