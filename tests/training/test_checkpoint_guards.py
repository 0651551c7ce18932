from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseTTAModel
from mmengine.runner import EpochBasedTrainLoop
from torch import nn

from convnext_dense import ConvNeXt
from convnext_dense.training import RunIdentityHook, StrictLoadHook

PATH = "work/epoch_3.pth"


class Head(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.num_classes = num_classes
        self.fc = nn.Linear(4, num_classes)


class Detector(nn.Module):
    def __init__(self, arch="atto", num_classes=3):
        super().__init__()
        self.backbone = ConvNeXt(arch, out_indices=(0,))
        self.norm = nn.BatchNorm1d(4)
        self.rpn_head = Head(1)
        self.head = Head(num_classes)


def runner(model, resume=False, path=PATH, classes=("a", "b"), training=False, cfg=None):
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=classes)))
    return SimpleNamespace(
        **dict(model=model, _load_from=path, _resume=resume, work_dir="work", hooks=[]),
        **dict(train_dataloader=loader, test_dataloader=loader, cfg=cfg or {}),
        _train_loop=EpochBasedTrainLoop.__new__(EpochBasedTrainLoop) if training else {},
    )


def check(model, state, meta=None, **options):
    checkpoint = dict(state_dict=state, meta=meta or {})
    StrictLoadHook().after_load_checkpoint(runner(model, **options), checkpoint)
    return checkpoint["state_dict"]


def test_a_checkpoint_that_fits_passes():
    model = Detector()
    state = model.state_dict()
    check(model, state)
    check(model, {f"module.{name}": value for name, value in state.items()})
    # As torch does itself, for files older than the buffer.
    check(model, {n: v for n, v in state.items() if not n.endswith("num_batches_tracked")})
    StrictLoadHook().after_load_checkpoint(runner(model), dict(state))


def test_wrapped_models_are_compared_by_what_they_wrap():
    class TTA(BaseTTAModel):
        def __init__(self, module):
            nn.Module.__init__(self)
            self.module = module

        def merge_preds(self, data_samples_list): ...

    model = Detector()
    check(TTA(model), model.state_dict())
    check(TTA(nn.parallel.DataParallel(model)), model.state_dict())
    with pytest.raises(RuntimeError, match="does not fit"):
        check(TTA(model), {"backbone.x": torch.zeros(1)})


def test_names_what_is_missing_unexpected_and_of_another_shape():
    model = Detector()
    state = dict(model.state_dict())
    del state["head.fc.bias"]
    state.update({f"extra.{i}": torch.zeros(1) for i in range(6)})
    state["head.fc.weight"] = torch.zeros(7, 4)
    with pytest.raises(RuntimeError) as caught:
        check(model, state)
    message = str(caught.value)
    assert message.startswith(f"{PATH} does not fit this model: ")
    assert "1 missing (head.fc.bias);" in message
    assert "6 not in the model (extra.0, extra.1, extra.2, and 3 more);" in message
    assert "1 of another shape (head.fc.weight (7, 4) for (3, 4))" in message
    assert "\n" not in message


@pytest.mark.parametrize("key", ["model", "state_dict", None])
def test_classification_weights_are_told_apart(key):
    state = Detector().backbone.state_dict()
    checkpoint = {key: state} if key else dict(state)
    with pytest.raises(RuntimeError, match=rf"not hold a whole model.*`weights='{PATH}'`"):
        StrictLoadHook().after_load_checkpoint(runner(Detector()), checkpoint)


@pytest.mark.parametrize(
    "meta", [dict(dataset_meta=dict(classes=("cat", "dog"))), dict(CLASSES=("cat", "dog"))]
)
def test_another_number_of_classes_names_the_files_own(meta):
    says = r"for 2 classes, .* for 3: take the file's own, `classes=\('cat', 'dog'\)`"
    state = Detector(num_classes=2).state_dict()
    for training, ends in ((False, "$"), (True, r"\. reinit_heads=True.* you train them$")):
        with pytest.raises(RuntimeError, match=says + ends):
            check(Detector(), state, meta, training=training)


def test_heads_of_other_classes_stay_random_where_a_training_starts_alone():
    state, options = Detector(num_classes=2).state_dict(), dict(cfg=dict(reinit_heads=True))
    taken = check(Detector(), state, training=True, **options)
    assert set(state) - set(taken) == {"head.fc.weight", "head.fc.bias"}
    with pytest.raises(RuntimeError, match=r"head\.fc\.weight \(2, 4\) for \(3, 4\)"):
        check(Detector(), state, **options)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_backbone_of_another_shape_is_not_blamed_on_the_classes(num_classes):
    state = Detector("femto", num_classes).state_dict()
    with pytest.raises(RuntimeError, match=r"weight \(48, 3, 4, 4\) for \(40, 3, 4, 4\)"):
        check(Detector(), state, dict(dataset_meta=dict(classes=("a", "b", "c")[:num_classes])))


@pytest.mark.parametrize("checkpoint", [[1, 2], dict(state_dict=[1])])
def test_a_file_without_a_state_dict_is_refused(checkpoint):
    with pytest.raises(
        RuntimeError, match=f"{PATH} (is not a state dict|holds no parameters).* list$"
    ):
        StrictLoadHook().after_load_checkpoint(runner(Detector()), checkpoint)


@pytest.mark.slow
def test_a_run_does_not_start_from_a_checkpoint_of_another_width(make_runner, tmp_path):
    make_runner("wide", model=dict(width=16)).train()
    strict = [dict(type="StrictLoadHook")]
    with pytest.raises(RuntimeError, match=r"epoch_4\.pth does not fit.*net\.0\.weight"):
        make_runner("wide", hooks=strict, resume=True).train()
    path = str(tmp_path / "wide" / "epoch_3.pth")
    with pytest.raises(RuntimeError, match=r"epoch_3\.pth does not fit"):
        make_runner("narrow", hooks=strict, load_from=path).train()


@pytest.mark.slow
def test_a_run_with_all_hooks_and_ema_resumes_to_the_same_weights(make_runner):
    hooks = [
        dict(type="EMAHook", momentum=0.1),
        dict(type="StrictLoadHook"),
        dict(type="RunIdentityHook", weights="a.pth"),
    ]
    straight = make_runner("straight", hooks=hooks)
    straight.train()
    with pytest.raises(KeyboardInterrupt):
        make_runner("stopped", hooks=hooks, stop=13).train()
    resumed = make_runner("stopped", hooks=hooks, resume=True)
    resumed.train()
    ours, theirs = resumed.model.state_dict(), straight.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def record(model, weights):
    checkpoint = dict(meta={})
    RunIdentityHook(weights).before_save_checkpoint(runner(model), checkpoint)
    return checkpoint


def resume(checkpoint, model, weights, resuming=True):
    hook = RunIdentityHook(weights)
    hook.after_load_checkpoint(runner(model, resume=resuming), checkpoint)


class ResNetDetector(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(1, 1)


CUSTOM = dict(depths=(1,), channels=(8,))


@pytest.mark.parametrize(
    ("model", "weights", "says"),
    [
        (Detector("femto"), "a.pth", "arch 'atto'; this run asks for 'femto'"),
        (Detector("v2_atto"), "a.pth", "arch 'atto'; this run asks for 'v2_atto'"),
        (Detector(CUSTOM), "a.pth", r"arch 'atto'; this run asks for .*depths=\(1,\)"),
        (Detector("atto"), "b.pth", "weights 'a.pth'; this run asks for 'b.pth'"),
        (Detector("atto"), None, "weights 'a.pth'; this run asks for 'none'"),
        (ResNetDetector(), "a.pth", "backbone 'ConvNeXt'; this run asks for 'Linear'"),
    ],
)
def test_resuming_as_something_else_is_refused_by_name(model, weights, says):
    with pytest.raises(RuntimeError, match=rf"^{PATH} was trained with {says}.*`work_dir`"):
        resume(record(Detector("atto"), "a.pth"), model, weights)


def test_resuming_as_the_same_loading_and_foreign_checkpoints_pass():
    checkpoint = record(Detector("atto"), "a.pth")
    resume(checkpoint, Detector("atto"), "a.pth")
    resume(checkpoint, Detector("femto"), None, resuming=False)
    resume(dict(meta={}), Detector("femto"), None)


@pytest.mark.parametrize(
    ("checkpoint", "says"),
    [
        (dict(meta=dict(dataset_meta=dict(classes=("b", "a")))), "b instead of a, a instead of b"),
        (dict(meta=dict(CLASSES=("a", "b", "c"))), "3 classes instead of 2"),
        (dict(ema_state_dict={}), "Resume it with `ema=True`"),
    ],
)
def test_resuming_with_other_classes_or_without_averaging_is_refused(checkpoint, says):
    with pytest.raises(RuntimeError, match=rf"^{PATH} .*{says}"):
        resume(checkpoint, Detector(), None)


def test_the_record_is_plain_data():
    meta = record(Detector(CUSTOM), None)["meta"]["convnext_dense"]
    assert meta.pop("arch").startswith("Arch(depths=(1,), channels=(8,)")
    assert meta == dict(backbone="ConvNeXt", weights="none")


@pytest.mark.slow
def test_resuming_with_other_weights_is_refused_before_training(make_runner):
    identity = [dict(type="RunIdentityHook", weights="a.pth")]
    with pytest.raises(KeyboardInterrupt):
        make_runner("run", hooks=identity, stop=7).train()
    with pytest.raises(RuntimeError, match=r"epoch_1\.pth was trained with weights 'a\.pth'"):
        make_runner("run", hooks=[dict(type="RunIdentityHook")], resume=True).train()
