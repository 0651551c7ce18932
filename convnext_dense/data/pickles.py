"""Refuse data in pickles, which can run any code when they are loaded."""

from __future__ import annotations

from mmengine.config import Config

from convnext_dense.config_tree import all_datasets, evaluators, walk
from convnext_dense.upstream.file_handlers import trust_pickles

# Endings of pickled annotations, proposals and RefCOCO's splits.
_SUFFIXES = (".pkl", ".pickle", ".p")
# Keys of evaluators for pickles that are written, not read.
_WRITTEN = ("out_file_path", "proposals_file")


def refuse_untrusted_pickles(cfg: Config) -> None:
    """Refuse a config whose data is in pickles, unless it has ``trust_pickles=True``.

    Args:
        cfg: A config of mmdet or mmseg.

    Raises:
        ValueError: If data is in a pickle; the message names the key and the file.
    """
    if cfg.get("trust_pickles") is True:
        trust_pickles()
        return
    roots = [*all_datasets(cfg), *(item for s in ("val", "test") for item in evaluators(cfg, s))]
    for root, node in roots:
        for path, inner in walk(node, root):
            for key, value in inner.items():
                if _is_pickle(key, value):
                    raise ValueError(
                        f"{path}.{key}={value!r} is a pickle, which can run any code when it is "
                        "loaded: convert it to JSON, or, where you trust its maker, set "
                        "trust_pickles=True in the config"
                    )


def _is_pickle(key: str, value: object) -> bool:
    values = [v for v in (value if isinstance(value, (list, tuple)) else [value]) if type(v) is str]
    if key == "hierarchy_file":  # mmdet reads what is not JSON by np.load(allow_pickle=True)
        return not all(v.endswith(".json") for v in values)
    if key in _WRITTEN:
        return False
    is_decoder = key == "decode_backend" and "pickle" in values
    return is_decoder or any(v.lower().endswith(_SUFFIXES) for v in values)
