"""The same checkpoints as mmengine's hook leaves, and never a moment without one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from mmengine.fileio import LocalBackend
from mmengine.runner import CheckpointLoader

from convnext_dense.training import latest_checkpoint

pytestmark = pytest.mark.slow

ATOMIC = dict(backend="atomic")


def left(folder):
    """What a run leaves: the records in its checkpoints by their names, and the last one."""
    records = {}
    for path in folder.glob("*.pth"):
        info = CheckpointLoader.load_checkpoint(str(path))["message_hub"]["runtime_info"]
        keys = [key for key in info if "best" in key or "keep" in key]
        records[path.name] = {
            key: Path(info[key]).name if "ckpt_toy" in key or key == "best_ckpt" else info[key]
            for key in keys
        }
    return records, Path((folder / "last_checkpoint").read_text()).name


@settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.generate])
@given(
    by_epoch=st.booleans(),
    interval=st.integers(1, 3),
    val_interval=st.sampled_from([3, 4, 6]),
    options=st.fixed_dictionaries(
        dict(
            max_keep_ckpts=st.sampled_from([-1, 1, 2, 3]),
            save_last=st.booleans(),
            save_begin=st.sampled_from([0, 3]),
            save_best=st.sampled_from([None, "auto", "toy/score", ["toy/score", "toy/other"]]),
            filename_tmpl=st.sampled_from([None, "model_{}.pth"]),
        )
    ),
)
def test_leaves_what_mmengine_leaves(
    make_runner_in, tmp_path_factory, by_epoch, interval, val_interval, options
):
    folder = tmp_path_factory.mktemp("parity")
    found = {}
    for kind in ("CheckpointHook", "DurableCheckpointHook"):
        make_runner_in(folder)(
            kind,
            by_epoch=by_epoch,
            interval=interval,
            val_interval=val_interval,
            metric="UnsteadyMetric",
            checkpoint=dict(type=kind, **options),
            backend_args=ATOMIC,
        ).train()
        found[kind] = left(folder / kind)
    theirs, ours = found.values()
    assert ours[1] == theirs[1]
    # Before the first best one, which mmengine saves alone, ours are one more.
    more = ours[0].keys() - theirs[0].keys()
    assert theirs[0].keys() <= ours[0].keys()
    assert len(more) <= 1
    (one, last), (two, _) = ours, theirs
    for key in one[last].keys() - ({"keep_ckpt_ids"} if more else set()):
        assert one[last][key] == two[last][key]


@pytest.mark.parametrize("by_epoch", [True, False])
def test_a_whole_one_and_a_whole_best_one_stand_whenever_a_file_goes(
    make_runner, tmp_path, monkeypatch, by_epoch
):
    folder, removed = tmp_path / "run", []
    real = LocalBackend.remove

    def remove(self, path):
        name = Path(path).name
        removed.append(name)
        rest = {p.name for p in folder.glob("*.pth")} - {name}
        of_its_kind = [n for n in rest if n.startswith("best_") == name.startswith("best_")]
        assert of_its_kind
        for other in of_its_kind:
            CheckpointLoader.load_checkpoint(str(folder / other))
        assert Path(latest_checkpoint(folder)).name in rest
        real(self, path)

    monkeypatch.setattr(LocalBackend, "remove", remove)
    make_runner(
        "run",
        by_epoch=by_epoch,
        interval=1 if by_epoch else 3,
        checkpoint=dict(type="DurableCheckpointHook", max_keep_ckpts=1),
        backend_args=ATOMIC,
    ).train()
    assert sum(name.startswith("best_") for name in removed) == 3
    assert len(removed) == 6


def test_a_run_that_was_killed_at_its_end_publishes(make_runner, tmp_path):
    options = dict(
        checkpoint=dict(type="DurableCheckpointHook", published_keys=["meta", "state_dict"]),
        backend_args=ATOMIC,
    )
    make_runner("run", **options).train()
    published = sorted(path for path in (tmp_path / "run").glob("*-????????.pth"))
    assert len(published) == 2
    for path in published:
        path.unlink()
    make_runner("run", resume=True, **options).train()
    names = [path.name.partition("-")[0] for path in (tmp_path / "run").glob("*-????????.pth")]
    assert sorted(names) == ["best_toy_score_epoch_4", "epoch_4"]


def test_checkpoints_of_another_folder(make_runner, tmp_path):
    out = dict(out_dir=str(tmp_path / "out"))
    options = dict(checkpoint=dict(type="DurableCheckpointHook", max_keep_ckpts=1, **out))
    with pytest.raises(KeyboardInterrupt):
        make_runner("run", stop=12, backend_args=ATOMIC, **options).train()
    last = latest_checkpoint(tmp_path / "run", tmp_path / "out" / "run")
    assert last == str(tmp_path / "out" / "run" / "epoch_2.pth")
    make_runner("run", resume=True, load_from=last, backend_args=ATOMIC, **options).train()
    assert sorted(path.name for path in (tmp_path / "out" / "run").glob("epoch*")) == [
        "epoch_4.pth"
    ]
    assert not list((tmp_path / "run").glob("*.pth"))


@pytest.mark.parametrize("by_epoch", [True, False])
def test_a_checkpoint_that_names_files_elsewhere_deletes_none_of_them(
    make_runner, tmp_path, by_epoch
):
    folder = tmp_path / "run"
    options = dict(
        by_epoch=by_epoch,
        interval=1 if by_epoch else 3,
        checkpoint=dict(type="DurableCheckpointHook", max_keep_ckpts=1),
        backend_args=ATOMIC,
    )
    with pytest.raises(KeyboardInterrupt):
        make_runner("run", stop=7, **options).train()
    last = Path((folder / "last_checkpoint").read_text())
    kind = "epoch" if by_epoch else "iter"
    victims = [tmp_path / "victim.pth", folder / "vis.txt", folder / "kept.json"]
    for victim in victims:
        victim.write_text("mine")
    (folder / f"{kind}_").mkdir()
    checkpoint = CheckpointLoader.load_checkpoint(str(last))
    checkpoint["meta"]["outdated_checkpoints"] = [
        "../victim.pth", str(victims[0]), "vis.txt", "kept.json", "..", "", 3, None
    ]  # fmt: skip
    checkpoint["message_hub"]["runtime_info"]["keep_ckpt_ids"] = ["/../../victim", "x", 1, 2]
    torch.save(checkpoint, last)
    make_runner("run", resume=True, **options).train()
    assert all(victim.read_text() == "mine" for victim in victims)
