"""Let layers compute in 8-bit integers, for each format by the tool that measured best for it.

For ONNX that is ONNX Runtime's own static quantisation, for OpenVINO its nncf. nncf also corrects
the means of a layer's outputs, but what it makes of ONNX files runs at a third of the speed, and it
fails on graphs with suppression.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

from convnext_dense.export.calibration import Calibration
from convnext_dense.export.graph import INPUT
from convnext_dense.export.int8_layers import LAYERS, int8_layers
from convnext_dense.export.onnx_file import is_large
from convnext_dense.export.openvino_file import XML, read_onnx, write

_INT8 = "int8"
# Nodes of OpenVINO that compute nothing.
_VALUES = ("Constant", "Parameter", "Result")


def quantise_onnx(source: Path, pictures: Calibration) -> Path:
    """Write an ONNX file whose layers of :mod:`~.int8_layers` compute in 8-bit integers.

    Weights are signed and have a scale for each output channel. Inputs are unsigned and have one
    scale, of the mean range of the pictures.

    Args:
        source: An ONNX file in float32.
        pictures: What the ranges of inputs are taken from.

    Returns:
        A file beside the source.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    target = source.with_stem(_INT8)
    folded = source.with_stem("folded")
    # All weights are constants then. The shapes of free heights and widths are not needed.
    large = is_large(onnx.load(source))
    quant_pre_process(
        str(source), str(folded), skip_symbolic_shape=True, save_as_external_data=large
    )
    layers = int8_layers(onnx.load(folded, load_external_data=False).graph)
    quantize_static(
        str(folded),
        str(target),
        _reader(iter(pictures)),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(LAYERS),
        nodes_to_quantize=layers,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        use_external_data_format=large,
        extra_options=dict(CalibMovingAverage=True),
    )
    return target


def _reader(pictures: Iterator[np.ndarray]) -> object:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            values = next(pictures, None)
            return None if values is None else {INPUT: values}

    return Reader()


def quantise_openvino(source: Path, pictures: Calibration) -> Path:
    """Write a file of OpenVINO whose layers of :mod:`~.int8_layers` compute in 8-bit integers.

    The scales are as in :func:`quantise_onnx`, and the means of outputs are corrected.

    Args:
        source: An ONNX file in float32.
        pictures: What the ranges of inputs are taken from.

    Returns:
        An ``.xml`` file beside the source.
    """
    import nncf

    model = read_onnx(source)
    chosen = int8_layers(onnx.load(source, load_external_data=False).graph)
    layers = {f"{name}{ending}" for name in chosen for ending in ("", "/WithoutBiases")}
    others = [
        node.get_friendly_name()
        for node in model.get_ops()
        if node.get_friendly_name() not in layers and node.get_type_name() not in _VALUES
    ]
    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():  # progress bars
        warnings.simplefilter("ignore")
        quantised = nncf.quantize(
            model,
            nncf.Dataset(pictures, lambda values: {INPUT: values}),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(pictures),
            ignored_scope=nncf.IgnoredScope(names=others, validate=False),
        )
    return write(quantised, source.with_name(f"{_INT8}{XML}"))
