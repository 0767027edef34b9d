"""An interrupted test goes on, and ends with the bytes of one that nothing disturbed."""

from __future__ import annotations

import dataclasses
import functools
import json
import random
import re
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

from deepseek_ocr.cli import main as cli
from deepseek_ocr.cli.test import make_plan, plan_in_folder
from deepseek_ocr.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_REFUSED, UserError
from deepseek_ocr.evaluation.config import TestConfig
from deepseek_ocr.evaluation.resuming import mark_unfinished
from deepseek_ocr.files import alone_in
from tests.conftest import REPOSITORY

from .killed_run import ANSWERS
from .samples import RunningStub, StubEngine, write_dataset

FLAGS = ["--model_path", "nano"]
BATCH_SIZES = {"whole": 2, "running": 1}
"""Of the two kinds of engines, so that there is something to keep of seven rows."""
NO_KILL = 10**6


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    truths = ["a cat", "two\nlines", "Größe 😀", "sat on", "the mat", "sat", "x y"]
    assert len(truths) == len(ANSWERS)
    return write_dataset(tmp_path_factory.mktemp("data"), truths)


def run(dataset, out, engine, *, moment=NO_KILL, torn=False) -> subprocess.CompletedProcess:
    root, test_file = dataset
    arguments = ["--data_root", root, "--test_file", test_file, "--output_dir", out, *FLAGS]
    arguments += ["--batch_size", BATCH_SIZES[engine]]
    program = [sys.executable, "-m", "tests.evaluation.killed_run"]
    command = [*program, moment, int(torn), engine, *arguments]
    return subprocess.run([*map(str, command)], cwd=REPOSITORY, capture_output=True, text=True)


@pytest.fixture(scope="module")
def undisturbed(dataset, tmp_path_factory):
    """Kind of engine -> (results, number of moments at which a kill makes a difference)."""

    @functools.cache
    def finished(engine):
        out = tmp_path_factory.mktemp("undisturbed") / "results"
        done = run(dataset, out, engine)
        assert done.returncode == 3, done.stderr  # one row fails
        return results_of(out), int(done.stdout.splitlines()[-1])

    return finished


def results_of(out: Path) -> dict[str, object]:
    """Every file but the logs, without seconds and date."""
    files = {}
    for path in sorted(out.iterdir()):
        if path.name in ("experiment_logs.txt", "metrics.jsonl"):
            continue
        timeless = re.sub(r'"seconds": [\d.]+', '"seconds": 0', path.read_text())
        files[path.name] = re.sub(r'"date": "[^"]+"', '"date": ""', timeless)
    return files


def check_killed_and_resumed(dataset, undisturbed, out, moment, torn, engine):
    killed = run(dataset, out, engine, moment=moment, torn=torn)
    assert killed.returncode == -signal.SIGKILL
    resumed = run(dataset, out, engine)
    assert resumed.returncode == 3, resumed.stderr
    assert results_of(out) == undisturbed(engine)[0]


@pytest.mark.parametrize(
    "share, engine", [(0.25, "whole"), (0.55, "whole"), (0.85, "whole"), (0.7, "running")]
)
def test_a_killed_test_goes_on_to_the_same_bytes(dataset, undisturbed, tmp_path, share, engine):
    moment = int(share * undisturbed(engine)[1]) + random.Random(share).randrange(3)
    torn = random.Random(moment).random() < 0.5
    check_killed_and_resumed(dataset, undisturbed, tmp_path / "out", moment, torn, engine)


@pytest.mark.proof
@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("engine", BATCH_SIZES)
def test_a_test_may_be_killed_at_every_write(dataset, undisturbed, tmp_path, torn, engine):
    for moment in range(undisturbed(engine)[1]):
        check_killed_and_resumed(dataset, undisturbed, tmp_path / str(moment), moment, torn, engine)


def test_a_test_killed_twice_goes_on_too(dataset, undisturbed, tmp_path):
    moments = undisturbed("whole")[1]
    first = run(dataset, tmp_path, "whole", moment=moments // 3)
    assert first.returncode == -signal.SIGKILL
    check_killed_and_resumed(dataset, undisturbed, tmp_path, moments // 4, True, "whole")


@pytest.fixture
def test_py(dataset, tmp_path, monkeypatch):
    """Runs `test.py` in this process; a number as `interrupted_at` is the row that Ctrl-C meets."""

    def run_here(*flags, interrupted_at=None, data=dataset, engine=StubEngine, answers=ANSWERS):
        def answer(number):
            return KeyboardInterrupt() if number == interrupted_at else answers[number]

        module = types.ModuleType("engine")
        module.load_engine = lambda *_, **__: engine(answer)
        monkeypatch.setitem(sys.modules, "deepseek_ocr.inference.engine", module)
        root, test_file = data
        files = ["--data_root", root, "--test_file", test_file, "--output_dir", tmp_path / "out"]
        flags = ["--batch_size", "2", *flags]
        return cli.run("test", [*map(str, files), *FLAGS, *flags])

    return run_here


def test_rows_that_were_answered_are_not_answered_again(test_py, tmp_path, capsys):
    assert test_py(interrupted_at=5) == EXIT_INTERRUPTED
    assert test_py() == EXIT_OK
    assert "resume: 4 of 7 rows were answered before" in capsys.readouterr().err
    log = (tmp_path / "out" / "experiment_logs.txt").read_text()
    assert re.findall(r"answered_before=(\d+)", log) == ["0", "4"]
    assert not (tmp_path / "out" / "unfinished.json").exists()


@pytest.mark.parametrize("interrupted_at, kept", [(3, 0), (10, 8), (15, 8), (17, 16), (19, 16)])
def test_in_a_running_batch_every_row_meets_the_same_others_again(
    test_py, tmp_path, interrupted_at, kept
):
    """As the last digits of its answer depend on them."""
    truths = [f"text {number}" for number in range(20)]
    stub = functools.partial(RunningStub, tells=True)
    settings = {"data": write_dataset(tmp_path / "data", truths), "engine": stub, "answers": truths}
    out = tmp_path / "out"
    assert test_py(**settings) == EXIT_OK
    at_once = results_of(out)
    assert "beside [0, 1]" in at_once["predictions.jsonl"]
    assert test_py(**settings, interrupted_at=interrupted_at) == EXIT_INTERRUPTED
    assert test_py(**settings) == EXIT_OK
    assert results_of(out) == at_once
    log = (out / "experiment_logs.txt").read_text()
    assert re.findall(r"answered_before=(\d+)", log) == ["0", "0", str(kept)]


def test_a_mark_without_a_stretch_is_refused(test_py, tmp_path, capsys):
    assert test_py(interrupted_at=5) == EXIT_INTERRUPTED
    mark = tmp_path / "out" / "unfinished.json"
    content = json.loads(mark.read_text())
    for wrong in (None, 0, "4"):
        mark.write_text(json.dumps(content | {"rows of a stretch": wrong}))
        assert test_py() == EXIT_REFUSED
        assert "expected a number above 0" in capsys.readouterr().err


def test_other_arguments_are_refused_with_the_difference_named(test_py, tmp_path, capsys):
    test_py(interrupted_at=5)
    before = (tmp_path / "out" / "predictions.jsonl").read_bytes()
    assert test_py("--mode", "tiny") == EXIT_REFUSED
    said = capsys.readouterr().err
    assert "--mode was None, is tiny" in said
    assert "--resume none" in said
    assert (tmp_path / "out" / "predictions.jsonl").read_bytes() == before


def test_another_type_of_device_is_refused(test_py, tmp_path, monkeypatch, capsys):
    assert test_py("--device", "cpu", interrupted_at=5) == EXIT_INTERRUPTED
    assert test_py("--device", "cuda:1") == EXIT_REFUSED
    assert "device was cpu, is cuda" in capsys.readouterr().err
    monkeypatch.setattr(StubEngine, "device", "cuda:0")  # as `auto` may find it
    assert test_py() == EXIT_REFUSED
    assert "device was cpu, is cuda" in capsys.readouterr().err
    monkeypatch.setattr(StubEngine, "device", "cpu")
    assert test_py() == EXIT_OK


def test_another_version_of_what_computes_is_refused(test_py, monkeypatch, capsys):
    test_py(interrupted_at=5)
    monkeypatch.setattr("deepseek_ocr.evaluation.resuming.versions", lambda: {"torch": "9.9"})
    assert test_py() == EXIT_REFUSED
    said = capsys.readouterr().err
    assert re.search(r"torch's version was [\d.]+\S*, is 9\.9", said)
    assert "begin anew with --resume none" in said


def test_resume_none_begins_anew(test_py, capsys):
    test_py(interrupted_at=5)
    assert test_py("--resume", "none") == EXIT_OK
    assert "resume: " not in capsys.readouterr().err


def test_other_data_is_refused(test_py, dataset, tmp_path, capsys):
    test_py(interrupted_at=5)
    root, test_file = dataset
    rows = json.loads(test_file.read_text(encoding="utf-8"))
    rows[0]["text"] += "!"
    (tmp_path / "other.json").write_text(json.dumps(rows), encoding="utf-8")
    assert test_py(data=(root, tmp_path / "other.json")) == EXIT_REFUSED
    assert "changed since: rows, test file" in capsys.readouterr().err


def test_a_finished_test_is_replaced(test_py, tmp_path, capsys):
    assert test_py("--limit", "2") == EXIT_OK
    assert test_py() == EXIT_OK
    assert "resume: " not in capsys.readouterr().err
    assert len((tmp_path / "out" / "predictions.jsonl").read_text().splitlines()) == 7


def test_other_answers_are_not_written_over_an_unfinished_test(test_py, dataset, tmp_path):
    out = tmp_path / "out"
    test_py(interrupted_at=5)
    config = TestConfig(data_root=dataset[0], output_dir=out, from_predictions=out)
    with pytest.raises(UserError, match="holds an unfinished test"):
        make_plan(config)
    make_plan(dataclasses.replace(config, resume="none"))


def test_what_a_kill_left_half_written_is_removed(test_py, tmp_path):
    assert test_py(interrupted_at=5) == EXIT_INTERRUPTED
    torn, mine = tmp_path / "out" / ".metrics.json.ab12_xyz.tmp", tmp_path / "out" / ".mine.tmp"
    torn.touch()
    mine.touch()
    assert test_py() == EXIT_OK
    assert mine.exists() and not torn.exists()


def test_a_model_is_not_loaded_in_order_to_be_refused(test_py, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    with alone_in(tmp_path / "out"):
        assert test_py(data=(tmp_path, tmp_path / "no such file")) == EXIT_REFUSED
    assert "is writing there" in capsys.readouterr().err
    assert not [*(tmp_path / "out").iterdir()]


def test_a_folder_that_another_test_made_meanwhile_is_looked_at_again(
    dataset, tmp_path, monkeypatch
):
    root, test_file = dataset
    out = tmp_path / "out"
    config = TestConfig(data_root=root, test_file=test_file, output_dir=out, model_path="nano")

    def load(config):  # while this one loads its model, another begins and is killed
        out.mkdir()
        mark_unfinished(dataclasses.replace(config, mode="tiny"), [], StubEngine(str))

    monkeypatch.setattr("deepseek_ocr.cli.test.load", load)
    with pytest.raises(UserError, match="--mode was tiny, is None"), plan_in_folder(config):
        pass


def test_one_test_at_a_time_writes_into_a_folder(tmp_path):
    another = pytest.raises(UserError, match=r"test\.py is writing there")
    with alone_in(tmp_path), another, alone_in(tmp_path):
        pass
    with alone_in(tmp_path):
        pass
