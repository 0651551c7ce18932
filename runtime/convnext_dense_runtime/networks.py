"""Run the graph of an exported model, by ONNX Runtime or OpenVINO."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from convnext_dense_runtime.backends import import_backend, shortened
from convnext_dense_runtime.metadata import Metadata
from convnext_dense_runtime.model_file import (
    OPENVINO,
    check_model_file,
    openvino_metadata,
    read_openvino,
)
from convnext_dense_runtime.onnx_metadata import read_onnx_metadata
from convnext_dense_runtime.openvino_core import openvino_core

INPUT = "image"
OUTPUTS = ("boxes", "scores", "labels", "masks", "logits")
BACKENDS = ("onnxruntime", "openvino")
# ONNX Runtime's providers by the names that are accepted for them too.
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
# Taken without being asked for, the first of them that is there. TensorRT is not: it compiles for
# minutes before the first picture.
_PREFERRED = ("cuda", "openvino", "cpu")
# Only errors: ONNX Runtime warns of each shape that it cannot infer.
_ERRORS = 3
_DEVICE = re.compile(r"(cpu|cuda|gpu|npu|auto)(?::(\d{1,3}))?")


class Network(Protocol):
    """The graph of a model, ready to run.

    Attributes:
        metadata: What the file says about itself.
        shape: Of the input, with None where it is free.
        outputs: Their names.
        runs_on: What runs it, for people.
    """

    metadata: Metadata
    shape: tuple[int | None, ...]
    outputs: tuple[str, ...]
    runs_on: str

    def __call__(self, image: np.ndarray) -> Mapping[str, np.ndarray]:
        """Return the outputs by name for an input (B, C, H, W) of float32."""
        ...


def open_network(
    path: Path,
    device: str | None,
    providers: Sequence[str] | None,
    backend: str | None,
    threads: int | None,
) -> Network:
    """Load a file for the backend that is asked for, or that its suffix tells.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or not ours, or an argument makes no sense.
        ImportError: If the backend is not installed.
        RuntimeError: If a device or provider is not there.
    """
    check_model_file(path)
    is_openvino = path.suffix.lower() == OPENVINO
    if backend not in (None, *BACKENDS):
        raise ValueError(f"`backend` is one of {', '.join(BACKENDS)}, got {backend!r}")
    backend = backend or ("openvino" if is_openvino else "onnxruntime")
    if is_openvino and backend != "openvino":
        raise ValueError(f"{path} is a model of OpenVINO: `backend='openvino'` runs it")
    if backend == "openvino" and providers is not None:
        raise ValueError("`providers` are ONNX Runtime's: OpenVINO takes a `device`")
    if device is not None and providers is not None:
        raise ValueError("give `device` or `providers`, not both")
    if threads is not None and (type(threads) is not int or not 1 <= threads <= 1024):
        raise ValueError(f"`threads` is a number from 1 to 1024, got {threads!r}")
    if device is not None and not _DEVICE.fullmatch(device):
        raise ValueError(f"`device={device!r}` is no device: cpu, cuda and cuda:1 are some")
    if backend == "openvino":
        return OpenVinoNetwork(path, device, threads)
    return OnnxNetwork(path, _chosen(device, providers), threads)


class OnnxNetwork:
    """A graph in ONNX Runtime.

    Args:
        path: An ONNX file.
        providers: Names or pairs of name and options, in the order of preference; None chooses.
        threads: Of the CPU; None takes all cores.
    """

    def __init__(self, path: Path, providers: list | None, threads: int | None) -> None:
        # First, since a file that is not ours may be one that ONNX Runtime cannot load either.
        self.metadata = Metadata.from_json(read_onnx_metadata(path), str(path))
        onnxruntime = import_backend("onnxruntime")
        there = onnxruntime.get_available_providers()
        if providers is None:
            providers = [PROVIDERS[name] for name in _PREFERRED if PROVIDERS[name] in there][:1]
            providers = list(dict.fromkeys([*providers, PROVIDERS["cpu"]]))
            wanted = []
        else:
            wanted = [name if isinstance(name, str) else name[0] for name in providers]
        for name in wanted:
            if name not in there:
                raise RuntimeError(f"{name} is not there; these are: {', '.join(there)}")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS
        options.intra_op_num_threads = threads or 0
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # its errors have no class in common
            raise ValueError(f"{path}: ONNX Runtime cannot load it: {shortened(error)}") from error
        used = self._session.get_providers()
        unused = [name for name in wanted if name not in used]
        if unused:
            raise RuntimeError(
                f"{unused[0]} does not work here, see what ONNX Runtime says; these do: "
                f"{', '.join(used)}"
            )
        inputs = {one.name: one.shape for one in self._session.get_inputs()}
        self.shape = _input_shape(inputs, path)
        self.outputs = tuple(one.name for one in self._session.get_outputs())
        self.runs_on = f"ONNX Runtime {onnxruntime.__version__}, {used[0]}"

    def __call__(self, image: np.ndarray) -> Mapping[str, np.ndarray]:
        """Return the outputs by name."""
        values = self._session.run(self.outputs, {INPUT: image})
        return dict(zip(self.outputs, values, strict=True))


class OpenVinoNetwork:
    """A graph in OpenVINO.

    Args:
        path: An XML file with its ``.bin`` beside it, or an ONNX file.
        device: OpenVINO's name of a device in any case; None takes the CPU.
        threads: Of the CPU; None takes all cores.
    """

    def __init__(self, path: Path, device: str | None, threads: int | None) -> None:
        openvino = import_backend("openvino")
        model = read_openvino(path)
        is_openvino = path.suffix.lower() == OPENVINO
        text = openvino_metadata(model) if is_openvino else read_onnx_metadata(path)
        self.metadata = Metadata.from_json(text, str(path))
        core = openvino_core()
        name = (device or "cpu").upper().replace(":", ".")
        if name.partition(".")[0] not in (*core.available_devices, "AUTO"):
            raise RuntimeError(
                f"`device={device!r}`: OpenVINO sees these: {', '.join(core.available_devices)}"
            )
        # On some processors OpenVINO would compute in bfloat16, which loses boxes.
        settings: dict[str, object] = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            self._compiled = core.compile_model(model, name, settings)
        except Exception as error:  # its errors have no class in common
            raise ValueError(f"{path}: OpenVINO cannot load it: {shortened(error)}") from error
        inputs = {
            one.get_any_name(): [side.get_length() if side.is_static else None for side in shape]
            for one in self._compiled.inputs
            if (shape := one.get_partial_shape()).rank.is_static
        }
        self.shape = _input_shape(inputs, path)
        # OpenVINO adds names of values inside the graph that are equal.
        self.outputs = tuple(
            next((name for name in OUTPUTS if name in one.get_names()), one.get_any_name())
            for one in self._compiled.outputs
        )
        self.runs_on = f"OpenVINO {openvino.__version__.partition('-')[0]}, {name}"

    def __call__(self, image: np.ndarray) -> Mapping[str, np.ndarray]:
        """Return the outputs by name."""
        # A request of its own, since threads may call at once.
        results = self._compiled.create_infer_request().infer({INPUT: image})
        return {name: results[name] for name in self.outputs}


def _chosen(device: str | None, providers: Sequence[str] | None) -> list | None:
    """Return what ONNX Runtime is to use; None if it is not said."""
    if providers is not None:
        if isinstance(providers, str) or not providers:
            raise ValueError(f"`providers` is a list of names, got {providers!r}")
        unknown = [name for name in providers if not isinstance(name, str)]
        if unknown:
            raise ValueError(f"`providers` is a list of names, got {unknown[0]!r} in it")
        return [PROVIDERS.get(name.lower(), name) for name in providers]
    if device is None:
        return None
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return [PROVIDERS["cpu"]]
    if kind == "cuda":
        return [(PROVIDERS["cuda"], {"device_id": int(index or 0)}), PROVIDERS["cpu"]]
    raise ValueError(
        f"`device={device!r}` is not one of ONNX Runtime's: cpu, cuda and cuda:1 are; "
        "`backend='openvino'` has others"
    )


def _input_shape(inputs: Mapping[str, Sequence], path: Path) -> tuple[int | None, ...]:
    if list(inputs) != [INPUT] or len(inputs[INPUT]) != 4:
        raise ValueError(
            f"{path}: its metadata lies: the graph's input is not {INPUT!r} (B, C, H, W) but "
            f"{', '.join(map(str, inputs)) or 'none'}"
        )
    return tuple(side if isinstance(side, int) and side > 0 else None for side in inputs[INPUT])
