import copy

import pytest
import torch

from convnext_dense.inference.model import in_fastest_layout
from convnext_dense.upstream import mmcv_ext


class PooledPyramid(torch.nn.Module):
    """FPN, and RoIAlign on its maps."""

    def __init__(self):
        super().__init__()
        necks = pytest.importorskip("mmdet.models.necks")
        extractors = pytest.importorskip("mmdet.models.roi_heads.roi_extractors")
        self.neck = necks.FPN([8, 16], 8, 2)
        layer = dict(type="RoIAlign", output_size=7, sampling_ratio=0)
        self.extractor = extractors.SingleRoIExtractor(layer, 8, [4, 8], finest_scale=8)

    def forward(self, maps, rois):
        return self.extractor(self.neck(maps), rois)


def test_the_layout_changes_no_prediction():
    """A compiled mmcv, where it is installed, reads all maps as contiguous."""
    plain = PooledPyramid().eval()
    fast = in_fastest_layout(copy.deepcopy(plain))
    maps = torch.randn(1, 8, 24, 32), torch.randn(1, 16, 12, 16)
    rois = torch.tensor([[0, 3, 5, 60, 40], [0, 10, 0, 126, 95], [0, 20, 20, 25, 27.0]])
    with torch.no_grad():
        torch.testing.assert_close(fast(maps, rois), plain(maps, rois), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("compiled", "layout"), [(True, torch.contiguous_format), (False, torch.channels_last)]
)
def test_a_compiled_mmcv_keeps_weights_contiguous(monkeypatch, compiled, layout):
    monkeypatch.setattr(mmcv_ext, "is_compiled", lambda: compiled)
    assert in_fastest_layout(torch.nn.Conv2d(4, 4, 3)).weight.is_contiguous(memory_format=layout)
