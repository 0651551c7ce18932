import contextlib
import os
import signal

import pytest

from convnext_dense.training import how_to_resume, latest_checkpoint, sigterm_as_interrupt


def test_sigterm_raises_as_ctrl_c_does_and_is_given_back():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), sigterm_as_interrupt():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.sigtimedwait([], 1)  # the handler runs here at the latest
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_interrupt_that_became_another_error_is_one_again():
    with pytest.raises(KeyboardInterrupt), sigterm_as_interrupt():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.sigtimedwait([], 1)
        except BaseException:
            raise SyntaxError("could not be formatted")  # noqa: B904  as mmengine does


def test_an_interrupt_that_was_ignored_comes_again(monkeypatch):
    monkeypatch.setattr("convnext_dense.training.interrupt.AGAIN", 1)
    with pytest.raises(KeyboardInterrupt), sigterm_as_interrupt():
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
            signal.sigtimedwait([], 1)
        signal.sigtimedwait([], 30)


def test_other_errors_stay_what_they_are():
    with pytest.raises(ValueError, match="mine"), sigterm_as_interrupt():
        raise ValueError("mine")


def test_names_the_last_checkpoint_and_the_command(make_runner, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make_runner("run", stop=7).train()
    line = how_to_resume(tmp_path / "run", "tools/train.py c.py --resume")
    assert "epoch_1.pth is whole" in line
    assert line.endswith("Go on with: tools/train.py c.py --resume")


def test_a_folder_that_was_moved_has_its_checkpoints_with_it(make_runner, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make_runner("run", stop=7).train()
    (tmp_path / "run").rename(tmp_path / "moved")
    assert latest_checkpoint(tmp_path / "moved") == str(tmp_path / "moved" / "epoch_1.pth")


def test_says_where_there_is_nothing_to_resume(make_runner, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make_runner("run", stop=2).train()
    assert "nothing to resume" in how_to_resume(tmp_path / "run", "anything")
