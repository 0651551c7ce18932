"""Say which extra of this package brings a module that is not installed."""

from __future__ import annotations

# By the module that is missed.
EXTRAS = {
    "mmengine": "lite",
    "onnx": "export",
    "onnxruntime": "export",
    "openvino": "openvino",
    "nncf": "openvino",
    "mmcv": "lite",
    "mmdet": "lite",
    "mmseg": "lite",
    "cv2": "lite",
    "pycocotools": "lite",
    "rich": "lite",
    "yaml": "lite",
    "argcomplete": "lite",
    "safetensors": "common",
    "huggingface_hub": "hub",
    "faster_coco_eval": "fast-eval",
    "transformers": "hf",
    "defusedxml": "convert",
}


def explain_missing(error: BaseException) -> str | None:
    """Return what to install for an import that failed, or None if no extra brings it.

    Example:
        >>> explain_missing(ModuleNotFoundError("No module named 'mmdet'", name="mmdet"))
        "mmdet is not installed: pip install 'convnext-dense[lite]'"
    """
    module = (getattr(error, "name", None) or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or module not in EXTRAS:
        return None
    return f"{module} is not installed: pip install 'convnext-dense[{EXTRAS[module]}]'"
