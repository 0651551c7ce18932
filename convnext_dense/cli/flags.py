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

# A flag; or, as a tuple, a subcommand whatever the tool, perhaps with its flag.
Shown = str | tuple[str, ...]


def _named_alike(arguments: str) -> dict[str, Shown]:
    """Return the flags of arguments that have the same name, by the arguments."""
    return {name: f"--{name.replace('_', '-')}" for name in arguments.split()}


# By the name of the argument. Positional arguments have no dashes.
FLAGS: dict[str, Shown] = {
    **_named_alike(
        "accumulate amp ann_train ann_val auto_scale_lr backbone batch_size box_only cfg_options "
        "classes data_root deterministic device early_stop ema epochs freeze img_size iters "
        "launcher limit log lr out recipe resume seed show_dir tensorboard to tta val_every "
        "weights work_dir workers"
    ),
    "checkpoint": "checkpoint",
    "config": "config",
    "force_keys": "--force-key",
    "trust": ("weights", "--trust"),
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
    "benchmark": _named_alike("arch batch drop_path dtype mode rounds shape"),
    "data": {
        **_named_alike("colours copy drop fast group_by rename split"),
        "format": "--from",
        "number": "-n",
    },
    "data shapes": {**_named_alike("size train val"), "out": "out"},
    "doctor": _named_alike("apply recipe workers"),
    "evaluate": {**_named_alike("backend reduce_zero_label"), "types": "--type"},
    "export": {
        **_named_alike("accuracy format int8 size verify"),
        "data_root": ("test", "--data-root"),
    },
    "flops": _named_alike("shape"),
    "infer": {"batch_size": "--batch", "kinds": "--save", "score": "--score"},
    "report": {
        "images": "--pictures-from",
        "predict=False": "--no-predict",
        "trust": ("report", "--trust"),
    },
    "roadmap": _named_alike("batch metric regime rounds seeds steps"),
    "swap": _named_alike("arch backbone_options mode"),
    "weights": {**_named_alike("arch overwrite prefix"), "out": "out"},
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
