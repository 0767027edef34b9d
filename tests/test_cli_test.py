"""`test.py` from its flags to its files, with an engine whose answers are known."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import re
import subprocess
import sys
import types
from typing import get_args

import pytest

from deepseek_ocr.cli import main as cli
from deepseek_ocr.errors import (
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
    UserError,
)
from deepseek_ocr.resolution import MODES, Mode

from .evaluation.samples import StubEngine, draw_pages, write_dataset

ONE_HOUR = datetime.timedelta(hours=1)
TEXTS = ["a cat", "two\nlines", "Größe 😀", "sat on", "the mat"]


@pytest.fixture
def use_engine(monkeypatch):
    """Puts an engine in the place of the real one; returns the arguments it was loaded with."""

    def use(engine):
        loaded = []

        def load_engine(model_path, **settings):
            loaded.append((model_path, settings))
            if isinstance(engine, Exception):
                raise engine
            return engine

        module = types.ModuleType("engine")
        module.load_engine = load_engine
        monkeypatch.setitem(sys.modules, "deepseek_ocr.inference.engine", module)
        return loaded

    return use


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path, TEXTS)


def run(dataset, output_dir, *flags) -> int:
    root, test_file = dataset
    required = ["--data_root", root, "--test_file", test_file, "--model_path", "nano"]
    return cli.run("test", [*map(str, [*required, "--output_dir", output_dir]), *flags])


def perfect(number: int) -> str:
    return TEXTS[number]


def predictions_of(folder):
    lines = (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_a_test_writes_all_its_files_and_prints_the_report_last(
    dataset, tmp_path, use_engine, capsys
):
    use_engine(StubEngine(perfect))
    out = tmp_path / "results"
    assert run(dataset, out) == EXIT_OK
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == str(out / "report.html")
    assert printed[1].split()[:5] == ["CER", "0.0000", "0.0000", "0.0000", "0.0000"]
    assert "5 ok" in printed[-2]
    assert {path.name for path in out.iterdir()} == {
        "predictions.jsonl",
        "metrics.json",
        "report.html",
        "experiment_logs.txt",
        "metrics.jsonl",
    }
    rows = predictions_of(out)
    assert [(row["id"], row["prediction"], row["text"]) for row in rows] == [
        (f"row-{n}", text, text) for n, text in enumerate(TEXTS)
    ]


def test_a_failed_row_is_counted_named_and_exits_3(dataset, tmp_path, use_engine, capsys):
    use_engine(StubEngine(lambda n: RuntimeError("no memory") if n == 1 else perfect(n)))
    out = tmp_path / "results"
    assert run(dataset, out) == EXIT_SOME_FAILED
    row = predictions_of(out)[1]
    assert (row["status"], row["prediction"], row["cer"]) == ("failed", "", 1.0)
    assert row["reason"] == "RuntimeError: no memory"
    scores = json.loads((out / "metrics.json").read_text())
    assert scores["statuses"]["failed"]["count"] == 1
    assert scores["scores"]["raw"]["cer"]["errors"] == len(TEXTS[1])
    assert "failed: row-1: RuntimeError: no memory" in capsys.readouterr().err
    assert "test event=failed row=row-1" in (out / "experiment_logs.txt").read_text()


def test_an_unreadable_picture_is_a_failed_row(dataset, tmp_path, use_engine):
    root, _ = dataset
    (root / "2.png").write_bytes((root / "2.png").read_bytes()[:40])
    use_engine(StubEngine(perfect))
    assert run(dataset, tmp_path / "results") == EXIT_SOME_FAILED
    statuses = [row["status"] for row in predictions_of(tmp_path / "results")]
    assert statuses == ["ok", "ok", "failed", "ok", "ok"]


def test_bad_answers_are_a_result_and_not_a_failure(dataset, tmp_path, use_engine, capsys):
    use_engine(StubEngine(lambda n: "\ud800\x00\u2028<script>" * 50))
    assert run(dataset, tmp_path / "results") == EXIT_OK
    scores = json.loads((tmp_path / "results" / "metrics.json").read_text())
    assert scores["scores"]["raw"]["cer"]["share_above_1"] == 1
    capsys.readouterr().out.encode("utf-8")


def test_an_odd_reason_leaves_every_file_readable(dataset, tmp_path, use_engine):
    use_engine(StubEngine(lambda n: RuntimeError("\ud800\x00 broken")))
    assert run(dataset, tmp_path / "results") == EXIT_SOME_FAILED
    for path in (tmp_path / "results").iterdir():
        path.read_text(encoding="utf-8")
    assert predictions_of(tmp_path / "results")[0]["reason"] == "RuntimeError: \ud800\x00 broken"


def results_of(out):
    """Every result file's content, but for the seconds and the date."""
    rows = [row | {"seconds": None} for row in predictions_of(out)]
    scores = json.loads((out / "metrics.json").read_text()) | {"seconds": None}
    scores["run"]["date"] = None
    return rows, scores, (out / "report.html").read_bytes()


def test_the_same_test_gives_the_same_results_with_workers_too(
    dataset, tmp_path, use_engine, capsys
):
    use_engine(StubEngine(lambda n: perfect(n)[::-1]))
    run(dataset, tmp_path / "first")
    run(dataset, tmp_path / "second", "--num_workers", "1")
    assert results_of(tmp_path / "first") == results_of(tmp_path / "second")


def test_a_second_test_replaces_results_and_continues_logs(dataset, tmp_path, use_engine):
    out = tmp_path / "results"
    use_engine(StubEngine(perfect))
    run(dataset, out)
    run(dataset, out, "--limit", "2")
    assert len(predictions_of(out)) == 2
    assert json.loads((out / "metrics.json").read_text())["num_rows"] == 2
    assert (out / "experiment_logs.txt").read_text().count(" test event=start ") == 2
    ends = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["event"] for row in ends].count("end") == 2


def test_an_interrupted_test_keeps_its_rows_and_no_old_scores(dataset, tmp_path, use_engine):
    out = tmp_path / "results"
    use_engine(StubEngine(perfect))
    run(dataset, out)
    use_engine(StubEngine(lambda n: KeyboardInterrupt() if n == 3 else perfect(n)))
    assert run(dataset, out, "--batch_size", "2") == EXIT_INTERRUPTED
    assert len(predictions_of(out)) == 2
    assert not (out / "metrics.json").exists()
    assert not (out / "report.html").exists()
    assert "test event=interrupted" in (out / "experiment_logs.txt").read_text()


def test_an_error_of_ours_is_logged(dataset, tmp_path, use_engine, capsys):
    class Losing(StubEngine):
        def generate(self, rows, *, max_new_tokens):
            return []

    use_engine(Losing(perfect))
    assert run(dataset, tmp_path / "results") == EXIT_INTERNAL
    log = (tmp_path / "results" / "experiment_logs.txt").read_text()
    assert 'test event=error type=RuntimeError reason="the engine gave 0 results for 5 rows"' in log


def test_flags_reach_the_engine(dataset, tmp_path, use_engine):
    loaded = use_engine(StubEngine(perfect))
    flags = ["--mode", "tiny", "--dtype=float32", "--device", "cpu", "--max-tiles", "4"]
    assert run(dataset, tmp_path / "results", *flags) == EXIT_OK
    ((model_path, settings),) = loaded
    assert model_path == "nano"
    assert settings == {
        "device": "cpu",
        "dtype": "float32",
        "adapter": None,
        "mode": "tiny",
        "tile_size": None,
        "base_size": None,
        "max_tiles": 4,
        "seed": 42,
    }


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch_size", "0"], "--batch_size must be at least 1, got 0"),
        (["--limit", "-1"], "--limit must be at least 1, got -1"),
        (["--batchsize", "2"], "did you mean --batch_size?"),
        (["--mode", "huge"], "--mode"),
        (["--max_tiles", "0"], "--max_tiles must be at least 1, got 0"),
        (["--base_size", "0"], "--base_size must be at least 64, got 0"),
        (["--tile_size", "0"], "--tile_size must be at least 64, got 0"),
        (["--tesseract_lang", ""], "--tesseract_lang must name languages"),
        (["--tesseract_lang", "eng+"], "such as eng or deu+frk, got 'eng+'"),
        (["--tesseract_psm", "14"], "--tesseract_psm must be at most 13, got 14"),
        (["--seed", "4294967296"], "--seed must be at most 4294967295, got 4294967296"),
    ],
)
def test_a_wrong_flag_is_wrong_usage(dataset, tmp_path, use_engine, capsys, flags, message):
    loaded = use_engine(StubEngine(perfect))
    assert run(dataset, tmp_path / "results", *flags) == EXIT_USAGE
    assert message in capsys.readouterr().err
    assert not loaded
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]\n", "test.json"),
        ('[\n{"id": "a", "images": ["0.png"], "prompt": "<image>"}\n]\n', "test.json:2"),
        ('[\n{"id": "a"\n', "test.json"),
        (None, "test.json"),
    ],
)
def test_a_bad_test_file_is_refused_before_a_model_is_loaded(
    dataset, tmp_path, use_engine, capsys, content, message
):
    root, test_file = dataset
    test_file.unlink()
    if content is not None:
        test_file.write_text(content)
    loaded = use_engine(StubEngine(perfect))
    assert run((root, test_file), tmp_path / "results") == EXIT_REFUSED
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not loaded
    assert not (tmp_path / "results").exists()


def test_a_test_file_of_another_data_root_is_refused(dataset, tmp_path, use_engine, capsys):
    _, test_file = dataset
    loaded = use_engine(StubEngine(perfect))
    other = draw_pages(tmp_path / "other", 2)
    assert run((other, test_file), tmp_path / "results") == EXIT_REFUSED
    assert "2.png" in capsys.readouterr().err
    assert not loaded


def test_an_output_folder_that_is_a_file_is_refused(dataset, tmp_path, use_engine):
    loaded = use_engine(StubEngine(perfect))
    (tmp_path / "results").write_text("")
    assert run(dataset, tmp_path / "results") == EXIT_REFUSED
    assert not loaded


def test_a_model_that_cannot_be_used_is_refused_and_nothing_is_written(
    dataset, tmp_path, use_engine, capsys
):
    use_engine(UserError("nano: not a model folder"))
    assert run(dataset, tmp_path / "results") == EXIT_REFUSED
    assert capsys.readouterr().err == "test: nano: not a model folder\n"
    assert not (tmp_path / "results").exists()


def test_the_modes_offered_are_the_models():
    assert get_args(Mode) == (*MODES, "auto")


def test_help_and_metrics_need_no_torch():
    program = (
        "import sys, deepseek_ocr.evaluation.run, deepseek_ocr.cli.test\n"
        "print(sorted({'torch', 'transformers', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_real_receipts_are_tested(shared, tmp_path, use_engine):
    """Pictures as they come, with a model that answers nothing."""
    from deepseek_ocr.data.annotations import Annotation, write_annotations

    root = shared / "data" / "sroie_receipts"
    pictures = sorted((root / "img").iterdir())[:3]
    annotations = [
        Annotation(id=p.stem, images=(f"img/{p.name}",), prompt="<image>", text="TOTAL 1.00")
        for p in pictures
    ]
    write_annotations(tmp_path / "test.json", annotations)
    use_engine(StubEngine(lambda n: ""))
    assert run((root, tmp_path / "test.json"), tmp_path / "results") == EXIT_OK
    report = (tmp_path / "results" / "report.html").read_text(encoding="utf-8")
    assert report.count("data:image/jpeg;base64,") == 3


def test_rows_with_another_prompt_than_the_trained_one_are_announced(
    dataset, tmp_path, use_engine, capsys
):
    engine = StubEngine(perfect)
    engine.prompt = "<image>\nRead the receipt."
    use_engine(engine)
    assert run(dataset, tmp_path / "results") == EXIT_OK
    assert "note: 5 of 5 rows ask" in capsys.readouterr().err


def test_answers_are_rescored_without_a_model(dataset, tmp_path, use_engine, capsys):
    use_engine(StubEngine(lambda n: perfect(n)[::-1]))
    assert run(dataset, tmp_path / "first") == EXIT_OK
    printed = capsys.readouterr().out.splitlines()
    loaded = use_engine(StubEngine(perfect))
    root, test_file = dataset
    for flags in (["--test_file", str(test_file)], []):
        out = tmp_path / f"again{len(flags)}"
        source = ["--from_predictions", str(tmp_path / "first" / "predictions.jsonl")]
        required = ["--data_root", str(root), "--output_dir", str(out)]
        assert cli.run("test", [*required, *source, *flags]) == EXIT_OK
        assert capsys.readouterr().out.splitlines()[:-1] == printed[:-1]
        assert predictions_of(out) == predictions_of(tmp_path / "first")
    assert not loaded


def test_answers_can_be_rescored_in_their_own_folder(dataset, tmp_path, use_engine):
    use_engine(StubEngine(perfect))
    out = tmp_path / "results"
    run(dataset, out)
    before = predictions_of(out)
    again = ["--data_root", dataset[0], "--output_dir", out, "--from_predictions", out]
    assert cli.run("test", [*map(str, again)]) == EXIT_OK
    assert predictions_of(out) == before


def test_rows_that_nobody_answered_have_failed(dataset, tmp_path, capsys):
    root, test_file = dataset
    (tmp_path / "p.jsonl").write_text('{"id": "row-1", "prediction": "two\\nlines"}\n')
    flags = ["--data_root", root, "--test_file", test_file, "--output_dir", tmp_path / "out"]
    flags += ["--from_predictions", tmp_path / "p.jsonl"]
    assert cli.run("test", [*map(str, flags)]) == EXIT_SOME_FAILED
    statuses = [row["status"] for row in predictions_of(tmp_path / "out")]
    assert statuses == ["failed", "ok", "failed", "failed", "failed"]


def test_a_failure_without_a_reason_says_so(tmp_path, capsys):
    row = {"id": "r0", "text": "x", "prediction": "", "status": "failed"}
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    flags = ["--data_root", tmp_path, "--output_dir", tmp_path / "out"]
    flags += ["--from_predictions", tmp_path / "p.jsonl"]
    assert cli.run("test", [*map(str, flags)]) == EXIT_SOME_FAILED
    assert "failed: r0: no reason given\n" in capsys.readouterr().err


@pytest.mark.parametrize("indent", [None, 2])
def test_answers_as_a_json_array_are_named_as_such(tmp_path, capsys, indent):
    rows = [{"id": "r0", "text": "x", "prediction": "x"}]
    (tmp_path / "p.json").write_text(json.dumps(rows, indent=indent))
    flags = ["--data_root", tmp_path, "--output_dir", tmp_path / "out"]
    flags += ["--from_predictions", tmp_path / "p.json"]
    assert cli.run("test", [*map(str, flags)]) == EXIT_REFUSED
    assert "p.json:1: a JSON array; expected JSON Lines" in capsys.readouterr().err


def test_an_odd_id_or_reason_commands_no_terminal(tmp_path, capsys):
    row = {
        "id": "a\x1b[2J\nb",
        "text": "x",
        "prediction": "",
        "status": "failed",
        "reason": "\x1b[0m",
    }
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    flags = ["--data_root", tmp_path, "--output_dir", tmp_path / "out"]
    flags += ["--from_predictions", tmp_path / "p.jsonl"]
    assert cli.run("test", [*map(str, flags)]) == EXIT_SOME_FAILED
    assert "failed: a\\x1b[2J\\nb: \\x1b[0m\n" in capsys.readouterr().err


def test_two_tests_stand_side_by_side(dataset, tmp_path, use_engine, capsys):
    use_engine(StubEngine(lambda n: perfect(n)[:-2]))
    run(dataset, tmp_path / "base")
    use_engine(StubEngine(perfect))
    assert run(dataset, tmp_path / "tuned", "--compare", str(tmp_path / "base")) == EXIT_OK
    found = json.loads((tmp_path / "tuned" / "metrics.json").read_text())["comparison"]
    assert (found["num_rows"], found["only_here"], found["only_there"]) == (5, 0, 0)
    assert found["cer"]["difference"] < 0
    assert "on 5 rows" in capsys.readouterr().out


def test_a_test_is_not_compared_with_what_it_replaces(dataset, tmp_path, use_engine, capsys):
    use_engine(StubEngine(perfect))
    out = tmp_path / "out"
    run(dataset, out)
    before = (out / "metrics.json").read_bytes()
    assert run(dataset, out, "--compare", str(out / ".." / "out")) == EXIT_USAGE
    assert "whose results this test replaces" in capsys.readouterr().err
    assert (out / "metrics.json").read_bytes() == before


def test_a_shuffled_test_file_has_the_same_scores(dataset, tmp_path, use_engine):
    root, test_file = dataset
    rows = json.loads(test_file.read_text(encoding="utf-8"))
    shuffled = tmp_path / "shuffled.json"
    shuffled.write_text(json.dumps(rows[3:] + rows[:3]), encoding="utf-8")
    summaries = []
    for file in (test_file, shuffled):
        use_engine(StubEngine(lambda n: perfect(n)[::-1]))
        assert run((root, file), tmp_path / file.stem) == EXIT_OK
        summary = json.loads((tmp_path / file.stem / "metrics.json").read_text())
        summaries.append(summary | {"run": None})
    assert summaries[0] == summaries[1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "missing: --model_path"),
        (["--model_path", "nano"], "missing: --test_file"),
        (["--model_path", "nano", "--from_predictions", "p"], "leave --model_path out"),
        (["--model_path", "nano", "--test_file", "t", "--benchmark", "fox"], "--benchmark brings"),
        (["--model_path", "nano", "--benchmark", "ocrbench"], "--benchmark"),
        (
            ["--model_path", "nano", "--benchmark", "fox", "--baseline", "tesseract"],
            "--baseline tesseract is for test files",
        ),
        (
            ["--model_path", "nano", "--benchmark", "fox", "--compare", "base"],
            "--compare base is for test files",
        ),
    ],
)
def test_what_is_tested_on_what_is_asked_for(tmp_path, capsys, flags, message):
    required = ["--data_root", str(tmp_path), "--output_dir", str(tmp_path / "out")]
    assert cli.run("test", [*required, *flags]) == EXIT_USAGE
    assert message in capsys.readouterr().err


def test_a_baseline_that_is_not_installed_is_wrong_usage(
    dataset, tmp_path, use_engine, capsys, monkeypatch
):
    loaded = use_engine(StubEngine(perfect))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(dataset, tmp_path / "out", "--baseline", "tesseract") == EXIT_USAGE
    assert "no program of this name on the PATH" in capsys.readouterr().err
    assert not loaded


@pytest.fixture
def fox(tmp_path):
    """Two pages in the layout that the benchmark Fox is published in."""
    root = tmp_path / "fox"
    draw_pages(root / "en_pdf_png", 2)
    conversations = [[{"value": "<image>"}, {"value": text}] for text in TEXTS[:2]]
    samples = [
        {"image": f"{n}.png", "conversations": turns} for n, turns in enumerate(conversations)
    ]
    (root / "en_page_ocr.json").write_text(json.dumps(samples), encoding="utf-8")
    return root


def test_a_benchmark_prints_the_published_table_with_this_run_in_it(
    fox, tmp_path, use_engine, capsys
):
    use_engine(StubEngine(perfect))
    out = tmp_path / "out"
    flags = ["--data_root", fox, "--benchmark", "fox", "--model_path", "nano", "--output_dir", out]
    assert cli.run("test", [*map(str, flags)]) == EXIT_OK
    printed = capsys.readouterr().out
    assert "this run" in printed and "published" in printed.lower()
    assert printed.splitlines()[-1] == str(out / "report.html")
    found = json.loads((out / "metrics.json").read_text())["benchmark"]
    values = dict(zip(found["columns"], found["values"], strict=True))
    assert (found["name"], values["F1"], values["Edit distance"]) == ("fox", 100, 0)
    assert [row["prediction"] for row in predictions_of(out)] == TEXTS[:2]


def test_a_benchmark_has_no_scores_but_its_tables(fox, tmp_path, use_engine, capsys):
    use_engine(StubEngine(perfect))
    out = tmp_path / "out"
    flags = ["--data_root", fox, "--benchmark", "fox", "--model_path", "nano", "--output_dir", out]
    assert cli.run("test", [*map(str, flags)]) == EXIT_OK
    printed = capsys.readouterr()
    assert "CER" not in printed.out and "cer=" not in printed.err
    summary = json.loads((out / "metrics.json").read_text())
    families = ("scores", "graphemes", "words", "markdown", "fields", "grounding")
    assert {summary[family] for family in families} == {None}
    assert (summary["num_empty_truths"], summary["breakdowns"]) == (None, {})
    assert summary["statuses"]["ok"]["count"] == 2
    for row in predictions_of(out):
        assert not {"cer", "wer", "char_errors", "similarity", "fox_f1"} & row.keys()
    events = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["batch", "end"]
    assert not any("cer" in key for event in events for key in event)
    assert events[-1]["columns"]["F1"] == 100
    assert "cer" not in (out / "experiment_logs.txt").read_text()
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "<section id=benchmark>" in report
    for part in ("rates", "distribution", "breakdowns", "differences", "confusions", "more"):
        assert f"<section id={part}>" not in report
    assert "aria-label=truth" not in report.replace('"', "") and "<ins>a cat" not in report
    assert "Character error rate" not in report and "empty truth" not in report


def test_a_benchmarks_list_of_rows_says_how_each_was_scored(fox, tmp_path, use_engine):
    use_engine(StubEngine(lambda n: perfect(n)[::-1] if n else perfect(n)))
    out = tmp_path / "out"
    flags = ["--data_root", fox, "--benchmark", "fox", "--model_path", "nano", "--output_dir", out]
    assert cli.run("test", [*map(str, flags)]) == EXIT_OK
    report = (out / "report.html").read_text(encoding="utf-8")
    verdicts = json.loads(re.search(r"id=index>(.*?)</script>", report)[1])["verdict"]
    assert verdicts[0] == "F1 100.0, edit distance 0.000"
    assert verdicts[1].startswith("F1 ") and verdicts[1] != verdicts[0]
    assert f"<span>{verdicts[1]}</span>" in report
    assert not any("verdict" in row for row in predictions_of(out))


def test_metrics_say_what_computed_them_and_when(dataset, tmp_path, use_engine):
    engine = StubEngine(perfect)
    engine.model = types.SimpleNamespace(dtype="torch.bfloat16")
    use_engine(engine)
    out = tmp_path / "results"
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    assert run(dataset, out) == EXIT_OK
    made = json.loads((out / "metrics.json").read_text())["run"]
    assert (made["device"], made["actual_device"]) == ("auto", "cpu")
    assert (made["dtype"], made["actual_dtype"]) == ("auto", "bfloat16")
    assert made["from_predictions_sha256"] is None
    assert made["versions"]["pillow"] == importlib.metadata.version("pillow")
    assert before <= datetime.datetime.fromisoformat(made["date"]) <= before + ONE_HOUR
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "python 3." in report and made["date"] not in report


def test_metrics_say_which_answers_were_given_and_whose_endings_are_not_known(
    dataset, tmp_path, capsys
):
    root, test_file = dataset
    rows = [{"id": f"row-{n}", "prediction": text} for n, text in enumerate(TEXTS)]
    rows[0]["status"], rows[3]["prediction"] = "truncated", " "
    given, out = tmp_path / "given.jsonl", tmp_path / "out"
    given.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def rescore(source, out):
        flags = ["--data_root", root, "--test_file", test_file, "--from_predictions", source]
        assert cli.run("test", [*map(str, flags), "--output_dir", str(out)]) == EXIT_OK
        return json.loads((out / "metrics.json").read_text())

    first = rescore(given, out)
    digest = hashlib.sha256(given.read_bytes()).hexdigest()
    assert first["run"]["from_predictions_sha256"] == digest
    assert (first["run"]["actual_device"], first["run"]["actual_dtype"]) == (None, None)
    assert first["num_statuses_assumed"] == 4
    counts = {name: entry["count"] for name, entry in first["statuses"].items()}
    assert (counts["truncated"], counts["ok"], counts["empty"]) == (1, 3, 1)
    assert "(4 assumed: the answers do not say)" in capsys.readouterr().out
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "the file tells of 1 of 5 rows" in report
    assert [row.get("status_assumed") for row in predictions_of(out)] == [None, *[True] * 4]
    assert rescore(out, tmp_path / "again")["num_statuses_assumed"] == 4  # nobody knows more


def test_a_test_is_not_compared_with_a_benchmark(fox, dataset, tmp_path, use_engine, capsys):
    use_engine(StubEngine(perfect))
    out = tmp_path / "out"
    flags = ["--data_root", fox, "--benchmark", "fox", "--model_path", "nano", "--output_dir", out]
    assert cli.run("test", [*map(str, flags)]) == EXIT_OK
    assert run(dataset, tmp_path / "other", "--compare", str(out)) == EXIT_REFUSED
    assert "is of a benchmark" in capsys.readouterr().err


def test_a_benchmark_scores_a_folder_of_answers(fox, tmp_path, capsys):
    answers, out = tmp_path / "answers", tmp_path / "out"
    answers.mkdir()
    (answers / "0.md").write_text(TEXTS[0])
    flags = ["--data_root", fox, "--benchmark", "fox", "--from_predictions", answers]
    assert cli.run("test", [*map(str, flags), "--output_dir", str(out)]) == EXIT_SOME_FAILED
    found = json.loads((out / "metrics.json").read_text())["benchmark"]
    values = dict(zip(found["columns"], found["values"], strict=True))
    assert values["Recall"] == 50  # the page without an answer counts as empty


def test_a_benchmark_in_another_layout_is_refused(tmp_path, use_engine, capsys):
    loaded = use_engine(StubEngine(perfect))
    flags = ["--data_root", tmp_path, "--benchmark", "omnidocbench", "--model_path", "nano"]
    assert cli.run("test", [*map(str, flags), "--output_dir", str(tmp_path / "out")]) == (
        EXIT_REFUSED
    )
    assert "OmniDocBench.json" in capsys.readouterr().err
    assert not loaded
