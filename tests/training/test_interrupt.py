import contextlib
import os
import signal
import threading

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


@pytest.mark.slow
def test_an_interrupt_that_was_ignored_comes_again(monkeypatch):
    monkeypatch.setattr("convnext_dense.training.interrupt.REPEAT_AFTER", 1)
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
    line = how_to_resume(tmp_path / "run", "sh go_on.sh")
    assert "epoch_1.pth is whole" in line
    assert line.endswith("Go on with: sh go_on.sh")


def test_a_folder_that_was_moved_has_its_checkpoints_with_it(make_runner, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make_runner("run", stop=7).train()
    (tmp_path / "run").rename(tmp_path / "moved")
    assert latest_checkpoint(tmp_path / "moved") == str(tmp_path / "moved" / "epoch_1.pth")


def test_says_where_there_is_nothing_to_resume(make_runner, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make_runner("run", stop=2).train()
    assert "nothing to resume" in how_to_resume(tmp_path / "run", "anything")


SIGNALS = [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]
ALL = [*SIGNALS, signal.SIGCHLD, signal.SIGALRM, signal.SIGINT]


@pytest.fixture
def handlers():
    """Restore the signal handlers after a test that sets its own."""
    before = {number: signal.getsignal(number) for number in ALL}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("is_sent", [True, False])
def test_every_handler_is_put_back(handlers, number, is_sent):
    def mine(*_): ...

    for other in ALL:
        signal.signal(other, mine)
    with contextlib.suppress(KeyboardInterrupt), sigterm_as_interrupt():
        if is_sent:
            os.kill(os.getpid(), number)
            signal.sigtimedwait([], 1)
            raise AssertionError("never reached")
    assert {signal.getsignal(other) for other in ALL} == {mine}
    assert signal.alarm(0) == 0


@pytest.mark.parametrize("number", SIGNALS)
def test_an_ignored_signal_stays_ignored(handlers, number):
    signal.signal(number, signal.SIG_IGN)
    with sigterm_as_interrupt():
        os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_IGN
    assert signal.getsignal(number) is signal.SIG_IGN


def test_the_handler_of_a_loader_is_put_back(handlers):
    def of_a_loader(*_): ...

    with pytest.raises(KeyboardInterrupt), sigterm_as_interrupt():
        signal.signal(signal.SIGCHLD, of_a_loader)
        os.kill(os.getpid(), signal.SIGTERM)
        signal.sigtimedwait([], 1)
    assert signal.getsignal(signal.SIGCHLD) is of_a_loader


def test_another_thread_changes_no_handler(handlers):
    before = [signal.getsignal(number) for number in ALL]
    seen = []

    def work():
        with sigterm_as_interrupt():
            seen.append([signal.getsignal(number) for number in ALL])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
    assert [signal.getsignal(number) for number in ALL] == before


def test_says_where_no_checkpoint_is_whole(make_runner, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make_runner("run", stop=7).train()
    os.truncate(tmp_path / "run" / "epoch_1.pth", 100)
    line = how_to_resume(tmp_path / "run", "anything")
    assert line.startswith("interrupted; ")
    assert "epoch_1.pth is truncated" in line
