"""Read the training data without end, as a loop of iterations does."""

from __future__ import annotations

from mmengine.config import Config

from convnext_dense.config_tree import type_name


def read_endlessly(cfg: Config) -> None:
    """Make the loader and the log of a config of epochs those of a run that counts iterations.

    A sampler of another kind than mmengine's ``DefaultSampler`` stays, and starts again at its end.

    Args:
        cfg: Changed in place: ``train_dataloader`` and ``log_processor``.
    """
    sampler = cfg.train_dataloader.get("sampler") or {}
    if type_name(sampler) == "DefaultSampler":
        endless = {key: sampler[key] for key in ("shuffle", "seed") if key in sampler}
        cfg.train_dataloader.sampler = dict(type="InfiniteSampler", **endless)
    cfg.log_processor = dict(cfg.get("log_processor") or {}, by_epoch=False)
