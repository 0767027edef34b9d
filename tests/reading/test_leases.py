"""A lease has one holder, and ends with it."""

from __future__ import annotations

import os
import signal

import pytest

from deepseek_ocr.errors import UserError
from deepseek_ocr.reading.leases import Leases


@pytest.fixture
def in_another(tmp_path):
    """Runs something with another process's leases; it holds them until the test ends."""
    children = []

    def run(act):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            leases = Leases(tmp_path)
            from deepseek_ocr.reading import leases as module

            module._open_here.clear()  # as in a process that began by itself
            with leases:
                os.write(writer, b"1" if act(leases) else b"0")
                signal.pause()
            os._exit(0)
        children.append(child)
        return os.read(reader, 1) == b"1"

    yield run
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_lease_is_taken_once(tmp_path):
    with Leases(tmp_path) as leases:
        assert leases.take("a")
        assert not leases.take("a")
        assert leases.take("b")
        leases.give_back("a")
        assert leases.take("a")


def test_a_lease_that_another_process_has_is_not_taken(tmp_path, in_another):
    assert in_another(lambda leases: leases.take("a"))
    with Leases(tmp_path) as leases:
        assert not leases.take("a")
        assert leases.take("b")
        assert not in_another(lambda others: others.take("b"))


def test_a_process_that_has_ended_holds_nothing(tmp_path):
    child = os.fork()
    if not child:
        with Leases(tmp_path) as leases:
            leases.take("a")
            os._exit(0)
    os.waitpid(child, 0)
    with Leases(tmp_path) as leases:
        assert leases.take("a")


def test_who_is_alone_is_told_so(tmp_path, in_another):
    done = []
    with Leases(tmp_path) as leases:
        assert leases.join(lambda: done.append("first"))
        assert leases.if_alone(lambda: done.append("alone"))
        assert not in_another(lambda others: others.join(lambda: None))
        assert not leases.if_alone(lambda: done.append("never"))
    assert done == ["first", "alone"]


def test_an_act_that_fails_leaves_the_job_shared(tmp_path, in_another):
    with Leases(tmp_path) as leases:
        leases.join(lambda: None)
        with pytest.raises(ValueError):
            leases.if_alone(lambda: int("x"))
        assert not in_another(lambda others: others.join(lambda: None))


def test_two_in_one_process_are_refused(tmp_path):
    with Leases(tmp_path), pytest.raises(UserError, match="this process already reads"):
        Leases(tmp_path).__enter__()
    with Leases(tmp_path):
        pass


def test_a_disk_without_locks_is_told(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.lockf", refused)
    with Leases(tmp_path) as leases, pytest.raises(UserError, match="the disk has no locks"):
        leases.take("a")
