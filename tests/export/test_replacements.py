"""Upstream's functions are replaced in the thread that exports alone, and all are put back."""

import sys
import threading

import mmcv.ops
import pytest
import torch

from convnext_dense.export.replacements import exportable
from convnext_dense.export.replacements.replace import _REPLACEMENTS
from convnext_dense.patches import enable

enable()
import mmdet.models  # noqa: E402, F401  whose functions are replaced

pytestmark = pytest.mark.slow


def held() -> dict:
    """Return every attribute of every module and class that a replacement may change."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("mmcv", "mmdet", "mmseg", "mmengine") or name in (
            "torch.onnx",
            "torch.nn.functional",
        ):
            found.update({(name, key): value for key, value in vars(module).items()})
    for module, name in _REPLACEMENTS:
        owner, _, attribute = name.rpartition(".")
        if owner and module in sys.modules:
            kind = getattr(sys.modules[module], owner)
            found[module, name] = vars(kind).get(attribute)
    return found


def changed(before: dict) -> set:
    return {key for key, value in held().items() if before.get(key) is not value}


def test_a_function_is_replaced_wherever_it_was_imported():
    before = held()
    with exportable():
        inside = changed(before)
    assert ("mmdet.models.layers.bbox_nms", "batched_nms") in inside
    assert ("mmdet.models.dense_heads.gfl_head", "filter_scores_and_topk") in inside
    assert ("mmdet.models.roi_heads.bbox_heads.bbox_head", "multiclass_nms") in inside
    assert not changed(before)


def test_all_is_put_back_after_an_error():
    before = held()
    with pytest.raises(KeyError), exportable():
        assert changed(before)
        raise KeyError
    assert not changed(before)


def test_blocks_can_be_nested():
    before = held()
    with exportable():
        with exportable():
            pass
        assert changed(before)
    assert not changed(before)


def kept_boxes() -> int:
    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8], [20, 20, 30, 30]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    options = dict(type="nms", iou_threshold=0.5)
    found, _ = mmcv.ops.batched_nms(boxes, scores, torch.zeros(3), options)
    return len(found)


def test_other_threads_keep_upstreams_functions():
    entered, done, seen = threading.Event(), threading.Event(), {}

    def export():
        with exportable():
            seen["exporting"] = kept_boxes()
            entered.set()
            done.wait(10)

    thread = threading.Thread(target=export)
    thread.start()
    assert entered.wait(10)
    seen["other"] = kept_boxes()
    done.set()
    thread.join()
    assert seen == {"exporting": 3, "other": 2}  # while exporting, the number of rows stays


def test_threads_may_leave_in_any_order():
    before = held()
    first_left, second_entered = threading.Event(), threading.Event()
    seen = []

    def first():
        with exportable():
            second_entered.wait(10)
        first_left.set()

    def second():
        with exportable():
            second_entered.set()
            first_left.wait(10)
            seen.append(kept_boxes())

    threads = [threading.Thread(target=one) for one in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [3]
    assert not changed(before)


def test_mmdet_stays_out_of_its_dead_branches(monkeypatch):
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    with exportable():
        assert not torch.onnx.is_in_onnx_export()
    assert torch.onnx.is_in_onnx_export()
