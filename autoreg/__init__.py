"""AutoReg: search, train and compare deformable registration models.

    import autoreg as ar

    found = ar.search(dataset="mydata/dataset.json", output="runs/search")
    trained = ar.train(found, dataset="mydata/dataset.json", output="runs/train")
    pair = ar.register(trained, fixed, moving)

The names below are loaded when they are first used, so that `import autoreg` is light and the numerical core
(`autoreg.networks`, `losses`, `metrics`, `spatial`, `trilevel`, `registration`) needs torch and numpy alone.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoreg.api import (
        Registered,
        apply_transform,
        compare,
        evaluate,
        load_config,
        load_model,
        register,
        register_files,
        search,
        train,
        tune,
        warp,
    )
    from autoreg.config import Config
    from autoreg.data.dataset import load_dataset
    from autoreg.data.synthetic import make_phantoms
    from autoreg.result import Result, open_result

__version__ = "0.1.0"
__all__ = [
    "Config",
    "Registered",
    "Result",
    "apply_transform",
    "compare",
    "evaluate",
    "load_config",
    "load_dataset",
    "load_model",
    "make_phantoms",
    "open_result",
    "register",
    "register_files",
    "search",
    "train",
    "tune",
    "warp",
]

_ELSEWHERE = {
    "Config": "autoreg.config",
    "load_dataset": "autoreg.data.dataset",
    "make_phantoms": "autoreg.data.synthetic",
    "Result": "autoreg.result",
    "open_result": "autoreg.result",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'autoreg' has no attribute {name!r}")
    value = getattr(import_module(_ELSEWHERE.get(name, "autoreg.api")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """`autoreg.search` is the function, though there is a room of that name: importing the room must not replace it.

    `from autoreg.search.run import ...` finds the room all the same.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
