"""What happens to a process that opens strangers' files is its own misfortune alone."""

from __future__ import annotations

import os

import pytest

from deepseek_ocr.children import Child, ChildEndedError, Children, ChildTooSlowError
from deepseek_ocr.errors import PageError

MEMORY = 1 << 30
LONG_S = 100


def named(function: str) -> str:
    return f"tests.misbehaving:{function}"


@pytest.fixture(scope="module")
def child():
    child = Child(MEMORY)
    yield child
    child.end()


@pytest.fixture
def children():
    with Children(2, MEMORY, LONG_S) as children:
        yield children


def test_values_and_blobs_arrive_as_they_were(child):
    values = {"é\udcff": [1, 2.5, None, True], "": "\0\n"}
    blobs = [b"", bytes(range(256)) * 5000, bytearray(b"x"), memoryview(b"yz")]
    given, received = child.call(named("echo"), values, blobs, timeout_s=LONG_S)
    assert given == values
    assert received == [bytes(blob) for blob in blobs[::-1]]


def test_one_process_answers_one_call_after_another(child):
    pids = {child.call(named("pid"), None, timeout_s=LONG_S).values for _ in range(3)}
    assert pids == {child.pid} and child.pid != os.getpid()


def test_an_error_about_a_page_is_that_error_here(child):
    with pytest.raises(PageError, match=r"^a\.png: is not a page$"):
        child.call(named("refuse"), "a.png", timeout_s=LONG_S)


def test_any_other_error_is_one_about_the_page_too(child):
    with pytest.raises(PageError, match=r"cannot be opened \(ZeroDivisionError: of a decoder\)"):
        child.call(named("stumble"), None, timeout_s=LONG_S)
    assert child.call(named("pid"), None, timeout_s=LONG_S).values == child.pid


def test_what_a_decoder_prints_is_not_seen(child, capfd):
    assert child.call(named("print_much"), None, timeout_s=LONG_S).values == "quiet"
    assert capfd.readouterr() == ("", "")


def test_memory_that_runs_away_is_an_error(child):
    with pytest.raises(PageError, match="MemoryError"):
        child.call(named("eat"), 1 << 34, timeout_s=LONG_S)
    assert child.call(named("pid"), None, timeout_s=LONG_S).values == child.pid


def test_a_crash_and_a_hang_end_the_call_and_say_which():
    crashing, hanging = Child(MEMORY), Child(MEMORY)
    with pytest.raises(ChildEndedError, match="crashed on it or ran out of memory"):
        crashing.call(named("crash"), None, timeout_s=LONG_S)
    with pytest.raises(ChildTooSlowError, match=r"takes more than 0\.1 seconds"):
        hanging.call(named("spin"), None, timeout_s=0.1)
    for child in (crashing, hanging):
        child.end()
        child.end()


def test_a_child_ends_with_its_parent_whatever_it_is_at():
    child = Child(MEMORY)
    with pytest.raises(ChildTooSlowError):
        child.call(named("spin"), None, timeout_s=0.1)
    os.close(child._lifeline)  # as the end of this process would
    child._lifeline = None
    assert child._process.wait(timeout=LONG_S) == 1
    child.end()


def test_only_the_call_that_ends_its_child_fails(children):
    calls = [
        children.submit(named("crash" if place == 3 else "echo"), place, name=f"page {place}")
        for place in range(8)
    ]
    for place, call in enumerate(calls):
        if place == 3:
            with pytest.raises(PageError, match=r"^page 3: the decoder crashed"):
                call.result()
        else:
            assert call.result().values == place


def test_a_call_whose_child_was_killed_once_is_made_again(children, tmp_path):
    call = children.submit(named("crash_once"), str(tmp_path / "mark"), name="a")
    assert call.result().values == "read"


def test_a_pool_starts_no_more_processes_than_it_may(children):
    calls = [children.submit(named("pid"), None, name="a") for _ in range(20)]
    assert 1 <= len({call.result().values for call in calls}) <= 2


def test_closing_ends_what_is_under_way_and_what_waits():
    children = Children(1, MEMORY, LONG_S)
    calls = [children.submit(named("spin"), None, name=f"page {n}") for n in range(3)]
    while not calls[0].running():
        pass
    children.close()
    assert all(call.done() for call in calls)
    assert all(call.cancelled() or call.exception() for call in calls)
    children.close()


def test_a_pool_that_is_not_used_starts_nothing():
    with Children(2, MEMORY, LONG_S) as children:
        assert children._children == {}
