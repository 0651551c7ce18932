"""The published parameters and FLOPs, and hand counts of what no table has."""

from __future__ import annotations

import copy
import importlib.util
import runpy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import BaseDataElement
from torch.utils.flop_counter import FlopCounterMode

import convnext_dense  # noqa: F401
from convnext_dense.analysis.flops import count_complexity, default_shape
from convnext_dense.backbone import resolve_arch
from convnext_dense.zoo.results import PUBLISHED

from ..configs import load

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SIZES = runpy.run_path(str(ROOT / "tools" / "model_zoo.py"))["SIZES"]

# Those of attention include its matrix products. The paper prints 47M and 279G for DINO (arXiv
# 2203.03605, table 1).
PEERS = {
    "mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py": (47.7, 277.4),
    "mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py": (44.4, 259.3),
    "mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py": (47.8, 266.5),
}


def recipe(name: str, **options) -> Config:
    cfg = load(f"{name}.py")
    cfg.merge_from_dict({key.replace("__", "."): value for key, value in options.items()})
    return cfg


def flops_of(complexity) -> dict[str, int]:
    return {part.name: part.flops for part in complexity.parts}


def atto_stage_flops(height: int, width: int, grn: bool = False) -> list[int]:
    """Stem, then stages, from the layers' sizes alone."""
    arch = resolve_arch("v2_atto" if grn else "atto")
    counts = [(height // 4) * (width // 4) * 3 * 4 * 4 * arch.channels[0]]
    previous = 0
    for stage, (depth, channels) in enumerate(zip(arch.depths, arch.channels, strict=True)):
        positions = (height // 2 ** (stage + 2)) * (width // 2 ** (stage + 2))
        depthwise, pointwise = 49 * channels, 2 * 4 * channels**2
        counts.append(positions * (depth * (depthwise + pointwise) + 4 * previous * channels))
        previous = channels
    return counts


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row.config)
def test_the_table_of_sizes_has_the_printed_parameters_and_flops(row):
    parameters, flops = SIZES[row.config]
    if row.params:
        assert round(parameters) == row.params
    if row.flops:
        assert flops == pytest.approx(row.flops, rel=5e-3)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(row.config, marks=() if row.params or row.flops else pytest.mark.long)
        for row in PUBLISHED
    ],
)
def test_a_recipe_has_the_parameters_and_flops_of_the_table(name):
    counted = count_complexity(recipe(name))
    parameters, flops = SIZES[name]
    assert counted.parameters / 1e6 == pytest.approx(parameters, abs=0.006)
    assert counted.flops / 1e9 == pytest.approx(flops, abs=0.051)


@pytest.mark.parametrize("name", ["det/dino_convnext_t_coco", "det/mask2former_convnext_t_coco"])
def test_a_transformer_takes_what_it_takes_with_real_tensors(name, monkeypatch):
    cfg = recipe(name, model__backbone=dict(arch="atto", init_cfg=None))
    head = cfg.model.get("panoptic_head")
    if head:
        head.in_channels = [40, 80, 160, 320]
        head.pixel_decoder.encoder.num_layers = head.transformer_decoder.num_layers = 1
    else:
        cfg.model.neck.in_channels = [80, 160, 320]
        cfg.model.num_queries = 20
        cfg.model.encoder.num_layers = cfg.model.decoder.num_layers = 1
    shape = (96, 160)
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(copy.deepcopy(cfg.model)).eval()
    # torch's counter does not look into the fused attention that a CPU takes otherwise.
    monkeypatch.setattr(torch.backends.mha, "get_fastpath_enabled", lambda: False)
    sample = BaseDataElement(metainfo=dict(img_shape=shape, batch_input_shape=shape))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        if head:
            model.panoptic_head(model.extract_feat(torch.zeros(1, 3, *shape)), [sample])
        else:
            model(torch.zeros(1, 3, *shape), [sample])
    counted = count_complexity(cfg, shape)
    assert counted.flops == counter.get_total_flops() // 2
    assert all(part.flops for part in counted.parts if "norms" not in part.name)
    assert counted.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("head", ["rt_detr_v2", "d_fine", "deformable_detr"])
def test_a_detector_of_transformers_takes_what_it_takes_with_real_tensors(head):
    head = dict(type=head, num_queries=20, encoder_layers=1, decoder_layers=2)
    backbone = dict(type="ConvNeXt", arch="atto", out_indices=(1, 2, 3))
    cfg = Config(dict(model=dict(type="TransformersDetector", backbone=backbone, head=head)))
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(cfg.model).eval().requires_grad_(False)
    maths = torch.nn.attention.SDPBackend.MATH  # the counter does not know the fused attention
    with (
        torch.no_grad(),
        torch.nn.attention.sdpa_kernel(maths),
        FlopCounterMode(display=False) as counter,
    ):
        model(torch.zeros(1, 3, 96, 160))
    counted = count_complexity(cfg, (96, 160))
    assert counted.flops == counter.get_total_flops() // 2
    assert counted.parameters == sum(p.numel() for p in model.parameters())
    assert [part.name for part in counted.parts][-3:] == ["encoder", "decoder", "head"]


@pytest.mark.parametrize("name", PEERS)
def test_peers_are_counted_by_the_same_convention(name):
    parameters, flops = PEERS[name]
    counted = count_complexity(load(name))
    assert counted.parameters / 1e6 == pytest.approx(parameters, abs=0.05)
    assert counted.flops / 1e9 == pytest.approx(flops, abs=0.06)


def test_the_backbone_is_counted_stage_by_stage():
    cfg = recipe("det/mask_rcnn_convnext_t_coco", model__backbone__arch="atto")
    cfg.model.neck.in_channels = [40, 80, 160, 320]
    flops = flops_of(count_complexity(cfg, (320, 256)))
    stages = [flops["backbone stem"], *(flops[f"backbone stage {i}"] for i in range(4))]
    assert stages == atto_stage_flops(320, 256)
    assert flops["backbone output norms"] == 0


def test_grouped_and_transposed_convolutions_are_counted_by_hand():
    flops = flops_of(count_complexity(recipe("det/mask_rcnn_convnext_t_coco")))
    conv3x3 = 14 * 14 * 9 * 256 * 256
    deconv2x2 = 14 * 14 * 4 * 256 * 256  # each input reaches 2x2 outputs
    logits = 28 * 28 * 256 * 80
    assert flops["mask head"] == 100 * (4 * conv3x3 + deconv2x2 + logits)
    fully_connected = 7 * 7 * 256 * 1024 + 1024 * 1024 + 1024 * (81 + 4 * 80)
    assert flops["bbox head"] == 1000 * fully_connected


def test_roi_heads_do_not_depend_on_the_image_and_the_others_do():
    cfg = recipe("det/cascade_convnext_t_coco")
    large, small = (
        flops_of(count_complexity(cfg, (768, 1280))),
        flops_of(count_complexity(cfg, (384, 640))),
    )
    assert list(large) == list(small)
    for name in large:
        scale = 1 if name.startswith(("bbox", "mask")) else 4
        assert large[name] == scale * small[name]


def test_parts_of_the_cascade_are_told_apart():
    names = list(flops_of(count_complexity(recipe("det/cascade_convnext_t_coco"))))
    assert names == [
        "backbone stem",
        *(f"backbone stage {stage}" for stage in range(4)),
        "backbone output norms",
        "neck",
        "rpn head",
        *(f"bbox head {stage}" for stage in range(3)),
        *(f"mask head {stage}" for stage in range(3)),
    ]


def test_the_auxiliary_head_counts_in_the_parameters_alone():
    cfg = recipe("seg/upernet_convnext_t_ade20k")
    counted = count_complexity(cfg)
    cfg.model.auxiliary_head = None
    without = count_complexity(cfg)
    assert without.auxiliary_head is None
    assert without.flops == counted.flops
    assert without.parameters + counted.auxiliary_head.parameters == counted.parameters
    # a 3x3 convolution with batch norm and the classifier, at stride 16
    assert counted.auxiliary_head.parameters == 9 * 384 * 256 + 2 * 256 + 256 * 150 + 150
    assert counted.auxiliary_head.flops == 32 * 128 * (9 * 384 * 256 + 256 * 150)


@pytest.mark.parametrize("grn", [False, True])
def test_norms_are_counted_on_their_own(grn):
    arch = "v2_atto" if grn else "atto"
    model = dict(
        type="RetinaNet",
        backbone=dict(type="ConvNeXt", arch=arch, out_indices=(3,)),
        neck=None,
        bbox_head=dict(type="RetinaHead", num_classes=3, in_channels=320, stacked_convs=0),
    )
    model["bbox_head"]["anchor_generator"] = dict(
        type="AnchorGenerator", scales=[8], ratios=[1.0], strides=[32]
    )
    counted = count_complexity(Config(dict(model=model, default_scope="mmdet")), (64, 64))
    elements = parameters = 0
    for stage, (depth, channels) in enumerate(zip((2, 2, 6, 2), (40, 80, 160, 320), strict=True)):
        positions = (16 // 2**stage) ** 2
        widths = depth * (channels + (4 * channels if grn else 0))  # layer norm, and GRN
        elements += positions * (widths + channels)  # the one after the stage, or output norm
        parameters += 2 * (widths + channels)
    # the stem has a norm of its own; each later downsampling's norm is counted with its stage
    elements += 16 * 16 * 40
    parameters += 2 * 40
    assert counted.norms.flops == 5 * elements
    assert counted.norms.parameters == parameters


def test_a_batch_norm_takes_two_operations_per_element():
    cfg = recipe("seg/upernet_convnext_t_ade20k")
    cfg.model.backbone = dict(type="mmseg.ResNetV1c", depth=18, norm_eval=False)
    cfg.model.auxiliary_head = None
    cfg.model.decode_head = dict(
        type="FCNHead", in_channels=512, in_index=3, channels=8, num_convs=1, num_classes=3,
        concat_input=False, norm_cfg=dict(type="SyncBN"), loss_decode=dict(type="CrossEntropyLoss"),
    )  # fmt: skip
    with_norm = count_complexity(cfg, (64, 64)).norms
    cfg.model.decode_head.norm_cfg = None
    without = count_complexity(cfg, (64, 64)).norms
    assert with_norm.flops - without.flops == 2 * 8 * 2 * 2
    assert with_norm.parameters - without.parameters == 2 * 8


def test_a_one_stage_detector_is_counted():
    counted = count_complexity(load("mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"))
    assert [part.name for part in counted.parts] == ["backbone", "neck", "bbox head"]
    # mmdet 2.x, docs/en/useful_tools.md, which leaves out the frozen stem and first stage and
    # counts activations and norms too.
    frozen = 225_344
    assert (counted.parameters - frozen) / 1e6 == pytest.approx(37.74, abs=0.005)
    assert counted.flops / 1e9 == pytest.approx(239.32, rel=1e-2)


def test_shapes_of_the_published_tables():
    assert default_shape(recipe("det/cascade_convnext_t_coco")) == (800, 1280)
    assert default_shape(recipe("seg/upernet_convnext_t_ade20k")) == (512, 2048)
    assert default_shape(recipe("seg/upernet_convnext_b_in22k_ade20k")) == (640, 2560)


def test_a_segmenter_without_a_crop_needs_a_shape():
    cfg = recipe("seg/upernet_convnext_t_ade20k")
    cfg.model.data_preprocessor.pop("size")
    cfg.model.test_cfg = dict(mode="whole")
    with pytest.raises(ValueError, match="give `shape`, the image's height"):
        count_complexity(cfg)
    assert count_complexity(cfg, (64, 64)).shape == (64, 64)


@pytest.mark.parametrize(
    ("name", "kind", "what"),
    [
        ("mmdet::solo/solo_r50_fpn_1x_coco.py", "SOLO", "mask_head."),
        ("mmdet::htc/htc_r50_fpn_1x_coco.py", "HybridTaskCascadeRoIHead", "CascadeRoIHead"),
    ],
)
def test_a_model_that_cannot_be_counted_is_named(name, kind, what):
    with pytest.raises(ValueError, match="cannot be counted") as error:
        count_complexity(load(name))
    assert kind in str(error.value)
    assert what in str(error.value)


def test_the_part_that_does_not_run_is_named_with_its_input():
    cfg = recipe("det/mask_rcnn_convnext_t_coco", model__backbone__arch="atto")
    with pytest.raises(
        RuntimeError, match=r"neck \(FPN\), given 1x40x16x32, 1x80x8x16, .* not run"
    ):
        count_complexity(cfg, (64, 128))  # the neck still takes the channels of tiny
    with pytest.raises(RuntimeError, match=r"not run, .* images are at least 32 x 32 pixels"):
        count_complexity(recipe("det/mask_rcnn_convnext_t_coco"), (4, 4))


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("flops_tool", ROOT / "tools" / "flops.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda *argv: module.run_tool(module.main, list(argv))


def test_the_tool_prints_a_line_per_part(tool, capsys):
    config = str(ROOT / "configs/seg/upernet_convnext_t_ade20k.py")
    options = ("--shape", "256", "256", "--cfg-options", "model.decode_head.channels=64")
    assert tool(config, *options) == 0
    out = capsys.readouterr().out
    assert "256 high and 256 wide" in out
    counted = count_complexity(
        recipe("seg/upernet_convnext_t_ade20k", model__decode_head__channels=64), (256, 256)
    )
    rows = {
        cells[1].strip(): (cells[2].strip(), cells[3].strip())
        for cells in (line.split("│") for line in out.splitlines())
        if len(cells) == 5
    }
    assert rows["total"] == (f"{counted.parameters / 1e6:.3f}", f"{counted.flops / 1e9:.2f}")
    assert rows["auxiliary head"][1] == f"{counted.auxiliary_head.flops / 1e9:.2f}"
    assert rows["norms"][1] == f"{counted.norms.flops / 1e9:.2f}"
    assert list(rows)[-3:] == ["total", "auxiliary head", "norms"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["configs/none.py"], "configs/none.py"),
        ([str(ROOT / "configs/_base_/schedules/adamw.py")], "adamw.py has no model"),
        (["{t}", "--shape", "0", "800"], "positive height and width, got 0 800"),
        (["{t}", "--cfg-options", "model.backbone.arch=giant"], "giant"),
        (["{t}", "--cfg-options", "model.type=Nothing"], "Nothing"),
    ],
)
def test_an_error_is_one_line(tool, capsys, argv, message):
    config = str(ROOT / "configs/seg/upernet_convnext_t_ade20k.py")
    assert tool(*(arg.format(t=config) for arg in argv)) == 1
    err = capsys.readouterr().err.strip().splitlines()[-1]
    assert err.startswith("error: ")
    assert message in err
