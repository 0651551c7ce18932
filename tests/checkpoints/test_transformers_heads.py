"""Models of transformers over ConvNeXt: read whole, under a config of their own, written back."""

from __future__ import annotations

import json

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from convnext_dense import load_weights
from convnext_dense.checkpoints import transformers_head
from convnext_dense.checkpoints.whole_model import parameters_for_model
from convnext_dense.cli.main import main
from convnext_dense.config.options import RunOptions
from convnext_dense.config.plan import SWAP, plan_run
from convnext_dense.config.read_config import read_config
from convnext_dense.export.transformers_folder import write_transformers_folder

from ..heads.transformers.masks import BACKBONE, MASK2FORMER, SEGMENTERS
from ..heads.transformers.small import KINDS, RT_DETR

DETECTOR, SEGMENTER = "TransformersDetector", "TransformersSegmentor"
MODELS_OF_OURS = {
    **{
        kind: (DETECTOR, dict(KINDS[kind], num_queries=10))
        for kind in ("rt_detr_v2", "rt_detr", "d_fine", "deformable_detr")
    },
    "instances": (DETECTOR, MASK2FORMER),
    "classes": (SEGMENTER, MASK2FORMER),
    "upernet": (SEGMENTER, SEGMENTERS["upernet"]),
}
NAMES = ("cat", "dog", "cow")
# Read and written as `rt_detr_v2` and `classes` are.
ALIKE = ("rt_detr", "d_fine", "instances")


def config(kind: str, grn: bool = False, classes: int = 3) -> Config:
    owner, head = MODELS_OF_OURS[kind]
    arch = dict(BACKBONE["arch"], grn=grn)
    stages = (1, 2, 3) if "decoder_ffn_dim" in head else (0, 1, 2, 3)
    return Config(
        dict(
            model=dict(
                type=owner,
                data_preprocessor=dict(
                    type="ImgDataPreprocessor", mean=[51, 0, 0], std=[255, 1, 1]
                ),
                backbone=dict(type="ConvNeXt", arch=arch, out_indices=stages),
                head=dict(head, num_classes=classes),
            ),
            default_scope="mmdet" if owner == DETECTOR else "mmseg",
        )
    )


def build(cfg: Config) -> torch.nn.Module:
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model).eval()


@pytest.fixture
def trained(tmp_path, randomise):
    """Write the checkpoint that a training would; give its path and the model."""

    def write(kind: str, **options: object):
        cfg = config(kind, **options)
        model = randomise(build(cfg))
        meta = dict(cfg=cfg.pretty_text, dataset_meta=dict(classes=NAMES))
        torch.save(dict(meta=meta, state_dict=model.state_dict()), tmp_path / "epoch_1.pth")
        return tmp_path / "epoch_1.pth", model

    return write


def outputs(model: torch.nn.Module) -> list[torch.Tensor]:
    image = torch.randn(1, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = model(image)
    names = ("logits", "pred_boxes", "class_queries_logits", "masks_queries_logits")
    return [found[name] for name in names if name in found]


def assert_equal(ours: torch.nn.Module, theirs: torch.nn.Module) -> None:
    for one, other in zip(outputs(ours), outputs(theirs), strict=True):
        assert torch.allclose(one, other, atol=1e-4) and one.std() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "grn"),
    [
        *(
            pytest.param(kind, False, marks=[pytest.mark.long] if kind in ALIKE else [])
            for kind in MODELS_OF_OURS
        ),
        ("upernet", True),
    ],
)
def test_a_training_is_written_as_transformers_folder_and_read_back_whole(
    kind, grn, trained, tmp_path, transformers
):
    checkpoint, model = trained(kind, grn=grn)
    folder = tmp_path / "folder"
    reader = getattr(transformers, write_transformers_folder(checkpoint, folder))
    theirs = reader.from_pretrained(folder).eval()
    assert_equal(model.head, theirs)
    assert tuple(theirs.config.id2label.values()) == NAMES
    images = json.loads((folder / "preprocessor_config.json").read_text())
    assert images["image_mean"] == [0.2, 0, 0]

    for load in (
        lambda new: load_weights(new, folder),
        lambda new: new.load_state_dict(parameters_for_model(new, theirs.state_dict(), "a")),
    ):
        again = build(config(kind, grn=grn))
        load(again)
        assert_equal(again.head, theirs)
    published = read_config(f"hf::{folder}")
    if kind == "instances":  # the name of the folder does not say so
        published.model.type = DETECTOR
    again = build(published)
    again.init_weights()
    assert_equal(again.head, theirs)
    assert published.model.head.num_classes == 3
    assert published.model.data_preprocessor.mean == [51, 0, 0]
    assert tuple(published.train_dataloader.dataset.metainfo.classes) == NAMES


@pytest.mark.slow
def test_other_classes_are_refused_or_left_random(trained, tmp_path):
    checkpoint, _ = trained("rt_detr_v2")
    write_transformers_folder(checkpoint, tmp_path / "folder")
    model = build(config("rt_detr_v2", classes=5))
    with pytest.raises(RuntimeError, match=r"enc_score_head.*reinit_heads=True"):
        load_weights(model, tmp_path / "folder")
    report = load_weights(model, tmp_path / "folder", reinit_heads=True)
    assert all("class" in name or "score" in name for name in report.reinitialised)


@pytest.mark.slow
def test_the_tool_writes_and_names_a_folder(trained, tmp_path, capsys):
    checkpoint, _ = trained("upernet")
    folder = str(tmp_path / "folder")
    main(["weights", "convert", str(checkpoint), folder, "--to", "transformers"])
    assert "UperNetForSemanticSegmentation.from_pretrained reads it" in capsys.readouterr().out
    main(["weights", "inspect", folder])
    said = capsys.readouterr().out
    assert "UperNetForSemanticSegmentation" in said and "prefix 'backbone.'" in said
    with pytest.raises(FileExistsError, match="exists"):
        write_transformers_folder(checkpoint, folder)


@pytest.mark.slow
def test_a_convnext_stands_under_a_model_with_another_backbone(tmp_path, transformers, monkeypatch):
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 24, 32, 48],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    cfg = transformers.RTDetrV2Config(
        backbone_config=backbone,
        encoder_in_channels=[24, 32, 48],
        decoder_in_channels=[32, 32, 32],
        id2label=dict(enumerate(NAMES)),
        label2id={name: label for label, name in enumerate(NAMES)},
        num_queries=10,
        **RT_DETR,
    )
    theirs = transformers.RTDetrV2ForObjectDetection(cfg)
    theirs.save_pretrained(tmp_path)
    name = f"hf::{tmp_path}"
    with pytest.raises(ValueError, match=r"a rt_detr_resnet of transformers.*backbone='tiny'"):
        build(read_config(name))
    plan = plan_run(RunOptions(name, backbone="atto"), SWAP)
    model = build(plan.config)
    logged = []
    monkeypatch.setattr(transformers_head, "print_log", lambda text, **_: logged.append(text))
    model.init_weights()
    ours, given = model.head.state_dict(), theirs.state_dict()
    other = [n for n in ours if n not in given or not torch.equal(ours[n], given[n])]
    assert other and all(name.startswith("model.encoder_input_proj") for name in other)
    (said,) = logged
    assert all(f"head.{name} (32, " in said for name in other)
    assert "left out: model.backbone.model (75 parameters)" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "has no config.json"),
        ("{", "is not the config of a model"),
        ('{"model_type": "bert"}', "is a bert; heads are read of"),
        ('{"model_type": ["upernet"]}', "heads are read of"),
        ('{"model_type": "rf_detr"}', "which is refused: its backbone is fixed"),
        (
            '{"model_type": "upernet", "backbone_config": {"model_type": "convnext"}}',
            "backbone_config is not that of a ConvNeXt",
        ),
    ],
)
def test_a_folder_of_something_else_is_one_line(content, said, tmp_path, transformers):
    if content:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=said) as raised:
        read_config(f"hf::{tmp_path}")
    assert "\n" not in str(raised.value)


def test_a_name_that_is_neither_folder_nor_hub_id():
    with pytest.raises(FileNotFoundError, match="neither a folder here nor the id of a model"):
        read_config("hf::nowhere")


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({}, "holds no config"),
        (dict(cfg="model = dict(type='RetinaNet')"), "holds a RetinaNet: only a Transformers"),
        (dict(cfg="model = print(1)"), "is not plain data"),
        (
            dict(cfg="model = dict(type='TransformersDetector', backbone=dict(type='os.system'))"),
            r"transformers has no os\.system",
        ),
    ],
)
def test_a_checkpoint_of_something_else_is_not_written(meta, said, tmp_path):
    torch.save(dict(meta=meta, state_dict={}), tmp_path / "a.pth")
    with pytest.raises(ValueError, match=said):
        write_transformers_folder(tmp_path / "a.pth", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [(dict(output_stride=16), "output_stride"), (dict(ceil_mode=True), "ceil_mode=True")],
)
def test_a_backbone_that_transformers_lacks_is_not_written(option, said, transformers):
    from convnext_dense.heads.transformers.own_backbone import model_of_transformers

    cfg = config("upernet")
    cfg.model.backbone.update(option)
    model = build(cfg)
    with pytest.raises(ValueError, match=f"ConvNeXt has no {said}"):
        model_of_transformers(model.backbone, model.head)
