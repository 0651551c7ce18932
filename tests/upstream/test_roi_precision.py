import pytest
import torch

from convnext_dense.upstream import roi_precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_rois_keep_their_coordinates(dtype):
    extractors = pytest.importorskip("mmdet.models.roi_heads.roi_extractors")
    roi_precision.mend(extractors.single_level_roi_extractor)
    extractor = extractors.SingleRoIExtractor(
        roi_layer=dict(type="RoIAlign", output_size=2, sampling_ratio=2),
        out_channels=1,
        featmap_strides=[4, 8],
    )
    # A ramp along x that is small where the RoI lies, so that half precision resolves its value,
    # which tells the coordinate that it was taken at.
    ramps = [torch.arange(n).float().expand(1, 1, n, n) - 150 for n in (256, 128)]
    rois = torch.tensor([[0, 601.3, 100.0, 621.7, 120.0]])
    exact = extractor([ramp.double() for ramp in ramps], rois.double())
    pooled = extractor([ramp.to(dtype) for ramp in ramps], rois)
    assert pooled.dtype == dtype
    torch.testing.assert_close(pooled.double(), exact, rtol=5e-3, atol=5e-3)


def test_installing_twice_wraps_once():
    extractors = pytest.importorskip("mmdet.models.roi_heads.roi_extractors")
    roi_precision.mend(extractors.single_level_roi_extractor)
    forward = extractors.SingleRoIExtractor.forward
    roi_precision.mend(extractors.single_level_roi_extractor)
    assert extractors.SingleRoIExtractor.forward is forward
