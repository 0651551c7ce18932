"""The flags of the tools, by the names of the Python arguments that they set.

The library's messages are for Python's users: they have an argument's name in backticks, with its
value if that matters. The tools replace it by the flag when they print a message.
"""

from __future__ import annotations

import ast
import re
import shlex
import warnings

from convnext_dense.cli.program import called
from convnext_dense.text import printable

# By the name of the argument. Positional arguments have no dashes. A tuple is for what is the same
# in all of them: a subcommand, perhaps with its flag.
Shown = str | tuple[str, ...]
FLAGS: dict[str, Shown] = {
    "accumulate": "--accumulate",
    "amp": "--amp",
    "ann_train": "--ann-train",
    "ann_val": "--ann-val",
    "auto_scale_lr": "--auto-scale-lr",
    "backbone": "--backbone",
    "batch_size": "--batch-size",
    "box_only": "--box-only",
    "cfg_options": "--cfg-options",
    "checkpoint": "checkpoint",
    "classes": "--classes",
    "config": "config",
    "data_root": "--data-root",
    "deterministic": "--deterministic",
    "device": "--device",
    "early_stop": "--early-stop",
    "ema": "--ema",
    "epochs": "--epochs",
    "force_keys": "--force-key",
    "freeze": "--freeze",
    "img_size": "--img-size",
    "iters": "--iters",
    "launcher": "--launcher",
    "limit": "--limit",
    "log": "--log",
    "lr": "--lr",
    "out": "--out",
    "recipe": "--recipe",
    "resume": "--resume",
    "seed": "--seed",
    "show_dir": "--show-dir",
    "tensorboard": "--tensorboard",
    "to": "--to",
    "trust": ("weights", "--trust"),
    "tta": "--tta",
    "val_every": "--val-every",
    "weights": "--weights",
    "work_dir": "--work-dir",
    "workers": "--workers",
    # Functions, with the subcommands that call them.
    "Predictor": ("infer",),
    "audit_data": ("data check",),
    "draw_samples": ("data show",),
    "plan_swap": ("swap", "--diff"),
    "recipes": ("recipes",),
    "test": ("test",),
    "train": ("train",),
}
# Names that only one subcommand has, or for which it has another flag.
OWN_FLAGS: dict[str, dict[str, Shown]] = {
    "benchmark": {
        "arch": "--arch",
        "batch": "--batch",
        "drop_path": "--drop-path",
        "dtype": "--dtype",
        "mode": "--mode",
        "rounds": "--rounds",
        "shape": "--shape",
    },
    "data": {
        "colours": "--colours",
        "copy": "--copy",
        "drop": "--drop",
        "fast": "--fast",
        "format": "--from",
        "group_by": "--group-by",
        "number": "-n",
        "rename": "--rename",
        "split": "--split",
    },
    "evaluate": {
        "backend": "--backend",
        "reduce_zero_label": "--reduce-zero-label",
        "types": "--type",
    },
    "doctor": {"apply": "--apply", "recipe": "--recipe", "workers": "--workers"},
    "flops": {"shape": "--shape"},
    "infer": {"batch_size": "--batch", "kinds": "--save", "score": "--score"},
    "export": {
        "accuracy": "--accuracy",
        "data_root": ("test", "--data-root"),
        "format": "--format",
        "int8": "--int8",
        "size": "--size",
        "verify": "--verify",
    },
    "data shapes": {"out": "out", "size": "--size", "train": "--train", "val": "--val"},
    "report": {
        "images": "--pictures-from",
        "predict=False": "--no-predict",
        "trust": ("report", "--trust"),
    },
    "roadmap": {
        "batch": "--batch",
        "metric": "--metric",
        "regime": "--regime",
        "rounds": "--rounds",
        "seeds": "--seeds",
        "steps": "--steps",
    },
    "swap": {"arch": "--arch", "backbone_options": "--backbone-options", "mode": "--mode"},
    "weights": {
        "arch": "--arch",
        "out": "out",
        "overwrite": "--overwrite",
        "prefix": "--prefix",
    },
}
# A name and perhaps a value, in backticks; a backtick inside quotes does not end the value.
_NAMED = re.compile(
    r"""`([A-Za-z_][A-Za-z_0-9]*)(?:=((?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|[^`'"\n])+))?`"""
)
_own: dict[str, Shown] = {}


def use_flags_of(tool: str) -> None:
    """Make messages name a tool's own flags from now on.

    Args:
        tool: A subcommand, perhaps with one of its own; empty: none.
    """
    _own.clear()
    _own.update(OWN_FLAGS.get(tool, {}))


def with_flags(text: str) -> str:
    """Return a text with flags instead of arguments in backticks.

    Other names in backticks stay as they are. Calling it twice changes nothing more.

    Example:
        >>> with_flags("`classes=('a', 'b c')` and `box_only=True` of `weights=None`")
        "--classes 'a,b c' and --box-only of --weights none"
    """
    return _NAMED.sub(_flag, text) if "`" in text else text


def _flag(match: re.Match) -> str:
    name, text = match.groups()
    flags = {**FLAGS, **_own}
    if f"{name}={text}" in flags:
        return shown_as(flags[f"{name}={text}"])
    if name not in flags:
        return match.group()
    value = None if text is None else _value(text)
    return f"{shown_as(flags[name])} {value}" if value else shown_as(flags[name])


def shown_as(flag: Shown) -> str:
    """Return a value of :data:`FLAGS` as it is printed."""
    return flag if isinstance(flag, str) else " ".join([called(flag[0]), *flag[1:]])


def _value(text: str) -> str:
    """Return a value in a shell's syntax; empty for True, since the flag alone sets it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # text from data may cause some
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text  # a placeholder such as PATH
    if value is True:
        return ""
    if isinstance(value, dict):
        return shlex.join(f"{key}={_word(one)}" for key, one in value.items())
    if isinstance(value, (tuple, list)):
        words = list(map(_word, value))
        numbers = all(isinstance(one, (int, float)) for one in value)
        return " ".join(words) if numbers else shlex.quote(",".join(words))
    return shlex.quote(_word(value))


def _word(value: object) -> str:
    """Return a value as text, with control characters escaped as they were in quotes."""
    if value is None:
        return "none"
    return "..." if value is ... else printable(str(value))
