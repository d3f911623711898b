"""The numerical core runs where only torch and numpy are installed."""

import subprocess
import sys

SCRIPT = """
import sys
from importlib.abc import MetaPathFinder

CORE = {"autoreg", "torch", "numpy"}
OF_TORCH = {"functorch", "torchgen", "typing_extensions", "sympy", "mpmath", "networkx", "jinja2", "markupsafe",
            "filelock", "fsspec"}

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in CORE | OF_TORCH | sys.stdlib_module_names:
            raise ModuleNotFoundError(f"refused {name}", name=name)

sys.meta_path.insert(0, Refuse())
try:
    import yaml
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("the blocker does not block")
import autoreg.trilevel, autoreg.networks, autoreg.losses, autoreg.metrics, autoreg.spatial
import autoreg.registration.problem, autoreg.registration.score, autoreg.registration.model
print("core imported")
"""


def test_core_imports_torch_and_numpy_only() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "core imported", done.stderr[-2000:]
