"""Versions of what is installed, and the combinations that are known not to work."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires

import torch
from packaging.requirements import Requirement

from convnext_dense.doctor.finding import Examination, Finding, Verdict
from convnext_dense.patches import enable
from convnext_dense.text import one_line
from convnext_dense.upstream.mmcv_ext import is_compiled
from convnext_dense.version import STACK, __version__, installed_version

_STACKS = {"mmcv": "compiled", "mmcv-lite": "lite", "onedl-mmcv": "forks"}
_IMPORTED = ("mmengine", "mmcv", "mmdet", "mmseg", "pycocotools", "cv2")
_SHOWN = ("numpy", "torchvision", "triton", "timm", "transformers")


def check_software(examination: Examination) -> Iterator[Finding]:
    """Look at the versions, the stack, and whether its packages can be imported."""
    shown = [f"{name} {found}" for name in _SHOWN if (found := installed_version(name))]
    detail = f"Python {platform.python_version()}, torch {torch.__version__}"
    yield Finding(f"convnext_dense {__version__}", Verdict.FIT, ", ".join([detail, *shown]))
    yield _stack()
    yield from _twins()
    yield from _requirements()
    yield from _imports()
    yield _torchvision()


def _stack() -> Finding:
    found = [name for name in _STACKS if installed_version(name)]
    if not found:
        return Finding(
            "stack", Verdict.ABSENT, "no mmcv", "pip install 'convnext-dense[lite]', or compiled"
        )
    parts = [name for module, names in STACK.items() if module != "torch" for name in names]
    shown = [f"{name} {version}" for name in parts if (version := installed_version(name))]
    return Finding("stack", Verdict.FIT, f"{_STACKS[found[0]]}: {', '.join(shown)}")


def _twins() -> Iterator[Finding]:
    for names in STACK.values():
        found = [name for name in names if installed_version(name)]
        if len(found) > 1:
            yield Finding(
                f"{found[0]} beside {found[1]}",
                Verdict.WRONG,
                "both are installed, and overwrite each other's files",
                f"pip uninstall {' '.join(found)}, then install one of them",
            )


def _requirements() -> Iterator[Finding]:
    """Hold what is installed against what this package asks for."""
    stack = next((extra for name, extra in _STACKS.items() if installed_version(name)), "lite")
    checked = 0
    for text in _requires("convnext-dense"):
        wanted = Requirement(text)
        found = installed_version(wanted.name)
        extras = ("", stack, "common")
        applies = wanted.marker is None or any(
            wanted.marker.evaluate({"extra": extra}) for extra in extras
        )
        if not found or not applies:
            continue
        checked += 1
        if not wanted.specifier.contains(found, prereleases=True):
            yield Finding(
                f"{wanted.name} {found}",
                Verdict.WRONG,
                f"convnext-dense needs {wanted.name}{wanted.specifier}",
                f"pip install '{wanted.name}{wanted.specifier}'",
            )
    if not checked:
        yield Finding(
            "requirements", Verdict.NOT_SEEN, "convnext-dense is not installed as a package"
        )


def _imports() -> Iterator[Finding]:
    enable()
    for name in _IMPORTED:
        try:
            import_module(name)
            if name == "mmcv":
                import_module("mmcv.ops")
        except Exception as error:  # another library may raise anything at import
            absent = isinstance(error, ModuleNotFoundError) and error.name == name
            yield Finding(
                f"import {name}",
                Verdict.ABSENT if absent else Verdict.WRONG,
                one_line(error),
                "docs/install.md says which versions go together",
            )


def _torchvision() -> Finding:
    name = "source of operators"
    if is_compiled():
        return Finding(name, Verdict.FIT, "mmcv's, compiled")
    try:
        import torchvision  # noqa: F401

        torch.ops.torchvision.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except ImportError:
        if not torch.cuda.is_available():
            return Finding(name, Verdict.FIT, "plain torch, which is meant for the CPU")
        return Finding(
            name, Verdict.ABSENT, "plain torch on the GPU", "pip install torchvision, for speed"
        )
    except Exception as error:  # a build for another torch may raise anything
        return Finding(
            name,
            Verdict.WRONG,
            f"torchvision {installed_version('torchvision')} does not fit torch: {one_line(error)}",
            "install the torchvision that was built for this torch, or uninstall it",
        )
    where = "on GPUs, plain torch on the CPU" if torch.cuda.is_available() else "but no GPU"
    return Finding(name, Verdict.FIT, f"torchvision's {where}")


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []
