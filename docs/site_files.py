"""For mkdocs: files of the repository to which pages link, such as ../examples/04_search.py, come into the site."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel

_FOLDERS = ("examples", "search_spaces", "launchers/configs")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    root = Path(config.docs_dir).parent
    for path in sorted(path for folder in _FOLDERS for path in (root / folder).iterdir() if path.is_file()):
        name = path.relative_to(root).as_posix()
        file = File.generated(config, f"../{name}", abs_src_path=str(path), inclusion=InclusionLevel.INCLUDED)
        file.dest_uri = f"files/{name}"
        files.append(file)
    return files
