"""Rules for the values of numbers and switches in a config."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import NamedTuple, TypeGuard


class Rule(NamedTuple):
    """A check of a value, and its description for messages."""

    is_right: Callable[[object], bool]
    meaning: str


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number, and not True or False."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number; 8e3 is one."""
    return is_number(value) and value == int(value)


def whole(least: int) -> Rule:
    """Return the rule for whole numbers from ``least`` on."""
    return Rule(lambda value: is_whole(value) and value >= least, f"a whole number from {least}")


def _whole_or_minus_one(meaning: str) -> Rule:
    return Rule(
        lambda value: is_whole(value) and (value >= 1 or value == -1),
        f"a whole number from 1, or -1 for {meaning}",
    )


FINITE = Rule(is_number, "a finite number")
POSITIVE = Rule(lambda value: is_number(value) and value > 0, "a finite number above 0")
NOT_NEGATIVE = Rule(lambda value: is_number(value) and value >= 0, "a finite number from 0")
PIXELS = Rule(lambda value: is_whole(value) and value >= 1, "a whole number of pixels from 1")
SEED = Rule(lambda value: is_whole(value) and 0 <= value < 2**32, "from 0 to 2**32 - 1")
# Only booleans, since Python treats any text as true.
SWITCH = Rule(lambda value: isinstance(value, bool), "True or False")
LOSS_SCALE = Rule(
    lambda value: value == "dynamic" or POSITIVE.is_right(value),
    "'dynamic', a dict or a finite number above 0",
)

# Rules by patterns of dotted keys. Numbers in a list have the key of the list.
RULES: dict[str, Rule] = {
    r"train_cfg\.(max_epochs|max_iters|val_interval)": whole(1),
    r"train_cfg\.val_begin": whole(0),
    r"\w+_dataloader\.(batch_size|prefetch_factor|num_batch_per_epoch)": whole(1),
    r"\w+_dataloader\.num_workers": whole(0),
    r"\w+_dataloader\.timeout": NOT_NEGATIVE,
    r"\w+_dataloader\..*\.(crop_size|size_divisor|pad_size_divisor)": PIXELS,
    r"optim_wrapper\.(\w+\.)?optimizer\.lr": POSITIVE,
    r"optim_wrapper\.(\w+\.)?optimizer\.(weight_decay|momentum|eps)": NOT_NEGATIVE,
    r"optim_wrapper\.(\w+\.)?accumulative_counts": whole(1),
    r"optim_wrapper\.(\w+\.)?loss_scale": LOSS_SCALE,
    r"optim_wrapper\.(\w+\.)?clip_grad\.max_norm": POSITIVE,
    r"param_scheduler(\.\d+)?\.(begin|milestones)": whole(0),
    r"param_scheduler(\.\d+)?\.(end|T_max|step_size|total_iters|total_steps)": whole(1),
    r"param_scheduler(\.\d+)?\.(gamma|power|factor|eta_max)": POSITIVE,
    r"param_scheduler(\.\d+)?\.(eta_min|eta_min_ratio|start_factor|end_factor)": NOT_NEGATIVE,
    r"(default_hooks|custom_hooks)\.\w+\.interval": _whole_or_minus_one("never"),
    r"default_hooks\.\w+\.max_keep_ckpts": _whole_or_minus_one("all"),
    r"default_hooks\.\w+\.save_begin": whole(0),
    r"custom_hooks\.\d+\.(momentum|gamma|lr)": FINITE,
    r"log_processor\.window_size": whole(1),
    r"auto_scale_lr\.base_batch_size": whole(1),
    r"randomness\.seed": SEED,
    r"model\.data_preprocessor\.mean": FINITE,
    r"model\.data_preprocessor\.std": POSITIVE,
    r"model\.data_preprocessor\.(size|pad_size_divisor)": PIXELS,
    r"model\.test_cfg\.(crop_size|stride)": PIXELS,
    r"resume": SWITCH,
    r"auto_scale_lr\.enable": SWITCH,
    r"\w+_dataloader\.(persistent_workers|pin_memory|drop_last)": SWITCH,
    r"randomness\.(deterministic|diff_rank_seed)": SWITCH,
}
