import os
import signal

import pytest

from convnext_dense.training import how_to_resume, sigterm_as_interrupt


def test_sigterm_raises_as_ctrl_c_does_and_is_given_back():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), sigterm_as_interrupt():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.sigtimedwait([], 1)  # the handler runs here at the latest
    assert signal.getsignal(signal.SIGTERM) is before


def test_names_the_last_checkpoint_and_the_command(make_runner, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make_runner("run", stop=7).train()
    line = how_to_resume(tmp_path / "run", "tools/train.py c.py --resume")
    assert "epoch_1.pth is whole" in line
    assert line.endswith("Go on with: tools/train.py c.py --resume")


def test_says_where_there_is_nothing_to_resume(make_runner, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make_runner("run", stop=2).train()
    assert "nothing to resume" in how_to_resume(tmp_path / "run", "anything")
