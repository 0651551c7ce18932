"""Print, as JSON, what our import and each start of a run change in the rest of the process.

Called as ``changes.py STATEMENT...``: each statement is a step, besides the two imports before.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import warnings
from multiprocessing.reduction import ForkingPickler

import mmdet  # noqa: F401
import mmengine.hub  # noqa: F401
import mmseg  # noqa: F401
import torch  # noqa: F401
from mmengine.runner import CheckpointLoader

warnings.simplefilter("ignore")
OTHERS = ("argparse", "copyreg", "cv2", "logging", "mmcv", "mmdet", "mmengine", "mmseg", "pickle")
OTHERS += ("PIL", "multiprocessing", "signal", "torch", "warnings", "yaml", "yapf")


def state() -> dict[tuple[str, ...], object]:
    """Everything that other code can reach by a name, or by a key of a table."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] not in OTHERS:
            continue
        for key, value in list(vars(module).items()):
            found[name, key] = value
            if isinstance(value, type) and value.__module__ == name:
                found |= {(name, key, inner): one for inner, one in vars(value).items()}
            elif isinstance(value, dict) and not key.startswith("__"):
                found |= {(name, key, str(inner)): one for inner, one in value.items()}
    found |= {("scheme", key): one for key, one in CheckpointLoader._schemes.items()}
    found |= {("reducer", str(key)): one for key, one in ForkingPickler._extra_reducers.items()}
    return found


def changes(step) -> list[str]:
    """What a step changes; what it adds, such as a module that it imports, is no change."""
    before, finders = state(), list(sys.meta_path)
    step()
    now = state()
    names = [key for key, one in before.items() if now.get(key, before) is not one]
    # The last finder may be new: it is asked where there is nothing to be found.
    moved = [] if sys.meta_path[: len(finders)] == finders else [("sys", "meta_path")]
    return sorted(".".join(name) for name in names + moved)


def import_package() -> None:
    importlib.import_module("convnext_dense")


def import_all() -> None:
    import convnext_dense

    for module in pkgutil.walk_packages(convnext_dense.__path__, "convnext_dense."):
        # Networks of others that need not be here, and kernels that need a GPU.
        if not {"peers", "triton"} & set(module.name.split(".")):
            importlib.import_module(module.name)


found = [changes(import_package)]
for module in ("mmdet.models", "mmdet.structures", "mmseg.models"):
    importlib.import_module(module)
found.append(changes(import_all))
found += [changes(lambda text=text: exec(text, {})) for text in sys.argv[1:]]
print(json.dumps(found))
