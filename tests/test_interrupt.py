"""Ctrl-C during a drive."""

import os
import signal
import threading

import pytest

from scripts.interrupt import between_ticks


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class Ends:
    """Is interrupted while it goes."""

    def __del__(self) -> None:
        interrupt()


def test_an_interrupt_in_the_end_of_an_object_is_felt_after_the_tick() -> None:
    with between_ticks() as check:
        check()
        thing = Ends()
        del thing
        with pytest.raises(KeyboardInterrupt):
            check()
    with pytest.raises(KeyboardInterrupt):  # as before
        interrupt()


def test_a_second_interrupt_is_felt_at_once() -> None:
    with between_ticks():
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            interrupt()


def test_other_threads_drive_without() -> None:
    done = []

    def work() -> None:
        with between_ticks() as check:
            check()
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10.0)
    assert done
