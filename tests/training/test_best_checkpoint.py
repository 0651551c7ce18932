"""The best checkpoint of a resumed run is its own."""

import shutil

import pytest
from mmengine.registry import METRICS


@pytest.mark.slow
@pytest.mark.parametrize("copied", [False, True])
def test_a_better_checkpoint_takes_the_place_of_the_own_best_alone(make_runner, tmp_path, copied):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        metric = METRICS.get("RisingMetric")
        patch.setattr(metric, "compute_metrics", lambda *_: {"toy/score": 1.0})
        make_runner("one", stop=12).train()
    one, two = tmp_path / "one", tmp_path / "two"
    if copied:
        shutil.copytree(one, two)
    checkpoint = str(one / "epoch_2.pth")
    hooks = [dict(type="OwnBestHook")]
    make_runner("two", hooks=hooks, resume=True, load_from=checkpoint).train()
    assert [file.name for file in one.glob("best*")] == ["best_toy_score_epoch_1.pth"]
    assert [file.name for file in two.glob("best*")] == ["best_toy_score_epoch_4.pth"]
