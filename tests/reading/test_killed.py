"""A job that is killed goes on, and ends with the bytes of one that nothing disturbed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from .job_samples import (
    FORKS,
    NUM_PAGES,
    Counts,
    Holds,
    Once,
    asked_by,
    end_of,
    files_of,
    make_documents,
    moments_of,
    outcome_of,
    rows_of,
    run,
    start,
    told_by,
)

BATCH = 4
FLAGS = ["--format=md,json,html,txt,pdf", "--show_boxes", f"--batch_size={BATCH}", "--quiet"]


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """Forty pages to read, and how."""
    return [make_documents(tmp_path_factory.mktemp("documents") / "in"), *FLAGS]


@pytest.fixture(scope="module")
def undisturbed(arguments, tmp_path_factory):
    """The output folder of a job that was never stopped."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert run(out, arguments) == 3
    assert len(asked_by(out)) == NUM_PAGES
    return out


def assert_same(out, undisturbed):
    assert files_of(out) == files_of(undisturbed), told_by(out)
    assert outcome_of(out) == outcome_of(undisturbed)


def pages_with_rows(out):
    """As `asked_by` names them."""
    return {("/".join(Path(row["source"]).parts[-2:]), row["page"]) for row in rows_of(out)}


def kill_and_go_on(seed, arguments, undisturbed, out):
    """Kill a job at a moment that `seed` chooses, then let it come to its end."""
    chance = random.Random(seed)
    moment, torn = chance.randrange(moments_of(undisturbed)), chance.random() < 0.5
    assert run(out, arguments, moment=moment, torn=torn) == -9
    safe, num_asked = pages_with_rows(out), len(asked_by(out))
    assert run(out, arguments) == 3
    assert not safe.intersection(asked_by(out)[num_asked:])
    assert_same(out, undisturbed)


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_job_goes_on_to_the_same_bytes(seed, arguments, undisturbed, tmp_path):
    kill_and_go_on(seed, arguments, undisturbed, tmp_path / "out")


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(5, 60))
def test_a_job_killed_at_any_moment_goes_on(seed, arguments, undisturbed, tmp_path):
    kill_and_go_on(seed, arguments, undisturbed, tmp_path / "out")


def test_a_job_killed_twice_goes_on_too(arguments, undisturbed, tmp_path):
    moments = moments_of(undisturbed)
    assert run(tmp_path / "out", arguments, moment=moments // 3) == -9
    assert run(tmp_path / "out", arguments, moment=moments // 4, torn=True) == -9
    assert run(tmp_path / "out", arguments) == 3
    assert_same(tmp_path / "out", undisturbed)


def test_a_finished_job_reads_nothing_again(arguments, undisturbed):
    before = outcome_of(undisturbed), files_of(undisturbed), len(asked_by(undisturbed))
    assert run(undisturbed, arguments) == 3
    assert before == (outcome_of(undisturbed), files_of(undisturbed), len(asked_by(undisturbed)))


def test_two_processes_share_a_job_without_reading_a_page_twice(arguments, undisturbed, tmp_path):
    out, both = tmp_path / "out", FORKS.Barrier(2)
    processes = [start(out, arguments, gate=Once(both)) for _ in range(2)]
    assert [end_of(process) for process in processes] == [3, 3]
    assert len(asked_by(out)) == len(set(asked_by(out))) == NUM_PAGES
    assert_same(out, undisturbed)


def test_what_a_killed_process_had_begun_is_done_by_the_other(arguments, undisturbed, tmp_path):
    out, held, never, others_read = tmp_path / "out", *(FORKS.Event() for _ in range(3))
    first = start(out, arguments, gate=Holds(held, never))
    assert held.wait(60)
    second = start(out, arguments, gate=Counts(NUM_PAGES - BATCH, others_read))
    assert others_read.wait(60)
    assert first.is_alive()
    first.kill()
    assert end_of(first) == -9
    assert end_of(second) == 3
    assert sorted(asked_by(out)) == sorted(asked_by(undisturbed))
    assert_same(out, undisturbed)
