"""Validation: what `test.py` would find, always on the same rows, and without a trace in the run."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from torch import nn

from deepseek_ocr.data.annotations import Annotation, read_annotations
from deepseek_ocr.data.pages.loading import load_page
from deepseek_ocr.evaluation.evaluate import evaluate
from deepseek_ocr.evaluation.loading import PageLoader
from deepseek_ocr.evaluation.summary import summarize
from deepseek_ocr.inference.engine import OcrEngine
from deepseek_ocr.inference.results import PageResult
from deepseek_ocr.metrics.text import text_score
from deepseek_ocr.runlog import RunLog
from deepseek_ocr.training import TrainConfig, TrainingError, train
from deepseek_ocr.training.batching.batches import Collator
from deepseek_ocr.training.checkpoints import saving
from deepseek_ocr.training.drawn.heads import TaughtWithGlyphs, make_heads
from deepseek_ocr.training.optimization.step import Unreadable
from deepseek_ocr.training.processes.devices import accelerator_for
from deepseek_ocr.training.validation import reading
from deepseek_ocr.training.validation.forgetting import Guard, is_worse
from deepseek_ocr.training.validation.reading import (
    ReadRow,
    choose_rows,
    longest_answer,
    reading_figures,
    share_out,
)
from deepseek_ocr.training.validation.sample_predictions import show_sample
from deepseek_ocr.training.validation.validator import Validator, better, undisturbed

from .samples import make_rows, save_small_model, small_model, small_processor, write_rows

FIGURES = {
    "loss", "cer", "wer", "edit_similarity", "repetition_rate", "empty_rate", "truncation_rate"
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pages, and files of seven rows for validation and two as guard."""
    folder = tmp_path_factory.mktemp("validation")
    rows = make_rows(folder / "pages", 7)
    write_rows(folder / "val.json", rows)
    write_rows(folder / "guard.json", rows[3:5])
    return folder


@pytest.fixture
def accelerator(request):
    dtype = getattr(request, "param", "float32")
    with accelerator_for("cpu", dtype) as accelerator:
        yield accelerator


@pytest.fixture
def make(folder, accelerator, tmp_path):
    """A validator with these settings; `val` and `guard` are numbers of rows to take."""

    def make(*, val=7, guard=0, **settings) -> Validator:
        config = TrainConfig(
            data_root=folder / "pages",
            train_file=folder / "val.json",
            val_file=folder / "val.json",
            model_path="nano-untrained",
            output_dir=tmp_path,
            **settings,
        )
        processor = small_processor()
        return Validator(
            config,
            accelerator,
            processor,
            read_annotations(folder / "val.json", folder / "pages")[:val],
            read_annotations(folder / "guard.json", folder / "pages")[:guard],
            Collator(processor),
            RunLog(tmp_path, "train"),
            quiet=True,
        )

    return make


@pytest.fixture
def answering(monkeypatch):
    """Lets the engine answer by the prompt's row: `answer(number of the call's row)`."""

    def set_answers(answers: list[str | PageResult]):
        given = iter(answers)

        def generate(self, rows, *, max_new_tokens):
            results = [next(given) for _ in rows]
            return [
                r
                if isinstance(r, PageResult)
                else PageResult(text=r, status="ok" if r else "empty", prompt="")
                for r in results
            ]

        monkeypatch.setattr(OcrEngine, "generate", generate)

    return set_answers


def rows_with_groups(groups):
    return [
        Annotation(id=str(i), images=(), prompt="Read", text="a", group=group)
        for i, group in enumerate(groups)
    ]


def events(tmp_path, event):
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["event"] == event]


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_validation_finds_what_test_py_finds(make, folder, batch_size):
    model = small_model()
    validator = make(eval_samples=5, batch_size=batch_size, eval_max_new_tokens=12)
    figures = validator.measure(model, step=0, epoch=1)
    assert figures.keys() == FIGURES
    rows = validator.sets[0]
    chosen = [rows.dataset.annotations[row] for row in rows.reader.rows]
    assert len(chosen) == 5
    model.eval()
    engine = OcrEngine(model, small_processor())
    with PageLoader(lambda reference: load_page(folder / "pages", reference)) as loader:
        batches = evaluate(chosen, engine, loader, batch_size=3, max_new_tokens=12)
        scored = [row for batch in batches for row in batch]
    summary = summarize(scored, seed=0)
    raw, statuses = summary["scores"]["raw"], summary["statuses"]
    assert any(row.prediction for row in scored)
    assert figures["cer"] == raw["cer"]["micro"]
    assert figures["wer"] == raw["wer"]["micro"]
    assert figures["edit_similarity"] == raw["similarity"]["mean"]
    for name, status in (
        ("repetition_rate", "repetition"),
        ("empty_rate", "empty"),
        ("truncation_rate", "truncated"),
    ):
        assert figures[name] == statuses[status]["rate"]


def test_the_same_rows_are_read_each_time(make):
    model = small_model()
    validator = make(eval_samples=3)
    assert validator.sets[0].reader.rows == make(eval_samples=3).sets[0].reader.rows
    first = validator.measure(model, step=0, epoch=1)
    assert validator.measure(model, step=9, epoch=1) == first


def test_a_larger_subset_holds_the_smaller_one():
    rows = rows_with_groups(["a", "a", "b", None, "a", None, "c"])
    all_of_them = choose_rows(rows, 100, seed=3)
    assert sorted(all_of_them) == list(range(7))
    for count in range(8):
        assert choose_rows(rows, count, seed=3) == all_of_them[:count]
    assert choose_rows(rows, 100, seed=4) != all_of_them


def test_a_subset_is_spread_over_groups():
    rows = rows_with_groups(["large"] * 50 + ["small"] * 2 + [None, None])
    chosen = choose_rows(rows, 4, seed=0)
    assert {rows[row].group for row in chosen} == {"large", "small", None}
    assert len({row for row in chosen if row < 50}) == 1
    assert len([row for row in choose_rows(rows, 6, seed=0) if 50 <= row < 52]) == 2


def test_without_rows_to_read_there_is_the_loss_alone(make):
    assert make(eval_samples=0).measure(small_model(), step=0, epoch=1).keys() == {"loss"}


def test_without_any_rows_nothing_is_measured(make, tmp_path):
    assert make(val=0).measure(small_model(), step=0, epoch=1) == {}
    assert not (tmp_path / "metrics.jsonl").exists()


def test_statuses_are_counted(make, answering):
    answers = [
        "",
        PageResult(text="xx", status="repetition", prompt=""),
        PageResult(text="x", status="truncated", prompt=""),
        PageResult(text="x", status="failed", prompt=""),
    ]
    answering(answers)
    figures = make(val=4, eval_samples=4, batch_size=1).measure(small_model(), step=0, epoch=1)
    for name in ("empty_rate", "repetition_rate", "truncation_rate"):
        assert figures[name] == 0.25


def test_error_rates_are_of_all_rows_together():
    def row(prediction, truth):
        return ReadRow(
            row=0, prediction=prediction, status="ok", score=text_score(prediction, truth)
        )

    figures = reading_figures([row("ab", "ab"), row("x", "yz uv wx")])
    assert figures["cer"] == pytest.approx(7 / 10)
    assert figures["wer"] == pytest.approx(3 / 4)
    assert figures["edit_similarity"] == pytest.approx((1 + 1 / 8) / 2)


def test_only_empty_answers_are_measured(make, answering):
    answering([""] * 7)
    figures = make(eval_samples=7).measure(small_model(), step=0, epoch=1)
    assert (figures["cer"], figures["wer"], figures["edit_similarity"]) == (1, 1, 0)
    assert figures["empty_rate"] == 1


def test_the_budget_is_half_more_than_the_longest_truth(make):
    rows = make(eval_samples=7).sets[0]
    most = longest_answer(rows.dataset.annotations, small_processor())
    assert most == max(
        len(small_processor().encode("", [], row.text).ids) - 1 for row in rows.dataset.annotations
    )  # BOS is no part of an answer
    assert most * 1.5 <= rows.reader.max_new_tokens < most * 1.5 + 1
    assert make(eval_max_new_tokens=7).sets[0].reader.max_new_tokens == 7


def test_a_validation_leaves_no_trace(make):
    model = small_model()
    model.model.layers[0].eval()  # a part that stays in eval mode keeps it
    modes = {name: module.training for name, module in model.named_modules()}
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    make(eval_samples=2, num_workers=0).measure(model, step=0, epoch=1)
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert all(torch.equal(weights[name], t) for name, t in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]  # noqa: NPY002
    assert all(p.grad is None for p in model.parameters())


def test_what_draws_random_numbers_while_measuring_changes_nothing(accelerator):
    model = nn.Dropout()
    torch.manual_seed(0)
    expected = torch.rand(1), random.random(), np.random.rand()  # noqa: NPY002
    torch.manual_seed(0)
    random.seed(1), np.random.seed(1)  # noqa: NPY002
    before = random.getstate()
    with undisturbed(model, accelerator.device):
        assert not model.training
        torch.rand(3), random.random(), np.random.rand(4)  # noqa: NPY002
    assert torch.equal(torch.rand(1), expected[0])
    assert random.getstate() == before
    assert model.training


def test_a_model_learns_after_it_was_measured_first(make, folder):
    """What reading keeps must not be of a kind that gradients cannot pass."""

    def learned(measured: bool):
        model, validator = small_model(), make(eval_samples=2)
        if measured:
            validator.measure(model, step=0, epoch=1)
        rows = validator.sets[0].dataset
        model(**validator.collator([rows[0], rows[1]])).loss.backward()
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    first, second = learned(False), learned(True)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_heads_that_name_glyphs_do_not_read(make):
    model = small_model()
    expected = make(eval_samples=2).measure(model, step=0, epoch=1)
    torch.manual_seed(0)
    with_heads = TaughtWithGlyphs(model, make_heads(model))
    assert make(eval_samples=2).measure(with_heads, step=0, epoch=1) == expected


@pytest.mark.parametrize("accelerator", ["bfloat16"], indirect=True)
def test_bfloat16_reads_as_it_trains(make, accelerator):
    formats = []
    model = small_model()
    model.lm_head.register_forward_hook(lambda *found: formats.append(found[-1].dtype))
    figures = make(eval_samples=2).measure(accelerator.prepare(model), step=0, epoch=1)
    assert figures.keys() == FIGURES
    assert set(formats) == {torch.bfloat16}


@pytest.mark.parametrize(
    "metric, new, best, expected",
    [
        ("loss", 1.0, None, True),
        ("loss", 1.0, 2.0, True),
        ("loss", 2.0, 2.0, False),
        ("cer", 0.1, 0.2, True),
        ("wer", 0.3, 0.2, False),
        ("edit_similarity", 0.9, 0.8, True),
        ("edit_similarity", 0.7, 0.8, False),
        ("cer", float("nan"), None, False),
        ("cer", 0.5, float("nan"), True),
    ],
)
def test_better(metric, new, best, expected):
    assert better(metric, new, best) is expected


def test_guard_rows_are_measured_apart(make, tmp_path):
    figures = make(val=3, guard=2, eval_samples=2).measure(small_model(), step=0, epoch=1)
    assert figures.keys() == FIGURES | {f"guard_{name}" for name in FIGURES}
    [row] = events(tmp_path, "validation")
    assert row["guard_cer"] == figures["guard_cer"]
    assert row["step"] == 0 and row["epoch"] == 1 and row["seconds"] >= 0
    alone = make(val=0, guard=2, eval_samples=2).measure(small_model(), step=0, epoch=1)
    assert alone == {name: value for name, value in figures.items() if name.startswith("guard_")}


def test_forgetting_is_told_with_advice(make, answering, tmp_path):
    said = []
    validator = make(val=0, guard=2, eval_samples=2)
    validator.say = said.append
    truths = [row.text for row in validator.sets[0].dataset.annotations]
    in_order = [truths[row] for batch in validator.sets[0].reader.batches for row in batch]
    answering([*in_order, *in_order, "", ""])
    model = small_model()
    validator.measure(model, step=0, epoch=1)
    validator.measure(model, step=5, epoch=1)
    assert not any("--guard_file" in line for line in said)
    validator.measure(model, step=9, epoch=2)
    [warning] = [line for line in said if "--guard_file" in line]
    assert warning.startswith("warning: step 9: ")
    assert "CER 0.0000 -> 1.0000" in warning and "--lr" in warning
    assert "event=forgetting step=9" in (tmp_path / "experiment_logs.txt").read_text()


def test_a_run_that_goes_on_knows_what_the_guard_was_before(tmp_path):
    log = RunLog(tmp_path, "train")
    log.metrics("validation", step=0, guard_cer=0.1)
    log.metrics("validation", step=8, guard_cer=0.5)
    guard = Guard(tmp_path, reads=True)
    assert "0.1000 -> 0.5000" in guard.warning({"guard_cer": 0.5}, step=16)
    assert guard.warning({"guard_cer": 0.11}, step=24) is None


@pytest.mark.parametrize(
    "before, now, expected",
    [
        (0.0, 0.02, False),
        (0.0, 0.021, True),
        (0.5, 0.54, False),
        (0.5, 0.56, True),
        (0.5, 0.1, False),
        (0.5, float("nan"), True),
    ],
)
def test_what_counts_as_worse(before, now, expected):
    assert is_worse(before, now, margin=0.02) is expected


def test_samples_are_in_the_log_and_safe_to_show(make, answering, tmp_path):
    said = []
    validator = make(val=1, eval_samples=1)
    validator.say = said.append
    answering(["Total 9.40\x1b[2J\u202e"])
    validator.measure(small_model(), step=4, epoch=1)
    [line] = [
        line
        for line in (tmp_path / "experiment_logs.txt").read_text().splitlines()
        if "event=sample" in line
    ]
    assert "step=4" in line and "row=page-0" in line
    assert "Total 9.[-5-]{+4+}0{+<U+001B>[2J<U+202E>+}" in line
    shown = "\n".join(said)
    assert "Total 9.[-5-]{+4+}0" in shown
    assert "\x1b" not in shown and "\u202e" not in shown


def test_texts_that_are_not_alike_stand_one_above_the_other(make, answering, tmp_path):
    said = []
    validator = make(val=1, eval_samples=1)
    validator.say = said.append
    answering(["not at all\x07\nalike"])
    validator.measure(small_model(), step=4, epoch=1)
    shown = "\n".join(said)
    assert "    truth: Total 9.50\n    read:  not at all<U+0007>⏎alike" in shown
    assert "difference=" not in (tmp_path / "experiment_logs.txt").read_text()


def test_colours_are_added_to_the_marks():
    said = []
    row = Annotation(id="a", images=(), prompt="Read", text="Total 9.50")
    read = ReadRow(
        row=0, prediction="Total 9.4", status="ok", score=text_score("Total 9.4", row.text)
    )
    show_sample(said.append, read, row, colours=True)
    assert said == ["  a (ok, CER 0.200):\n    Total 9.\x1b[34m[-5-]\x1b[0m\x1b[31m{+4+}\x1b[0m\x1b[34m[-0-]\x1b[0m"]  # fmt: skip


def test_long_answers_are_cut_in_the_log(make, answering, tmp_path):
    validator = make(val=1, eval_samples=1)
    answering(["xyz " * 5000])
    validator.measure(small_model(), step=4, epoch=1)
    log = (tmp_path / "experiment_logs.txt").read_text()
    assert max(map(len, log.splitlines())) < 2500


def test_a_tracker_gets_figures_and_samples(make):
    class Noting:
        def __init__(self):
            self.events = []

        def log(self, event, figures, step):
            self.events.append((event, figures, step))

        def close(self):
            pass

    validator = make(val=2, guard=1, eval_samples=2)
    validator.tracker = Noting()
    figures = validator.measure(small_model(), step=3, epoch=1)
    assert validator.tracker.events[0] == ("validation", figures, 3)
    names = [event for event, _, _ in validator.tracker.events[1:]]
    assert names == ["validation sample 1", "validation sample 2", "guard sample 1"]


def test_a_picture_that_broke_ends_the_validation_with_its_name(make, monkeypatch):
    validator = make(eval_samples=7)
    reader = validator.sets[0].reader

    def broken(index):
        raise reading.UserError("row page-2: cannot be opened")

    monkeypatch.setattr(reader.dataset, "sample", broken)
    model = small_model()
    with pytest.raises(Unreadable, match="row page-2: cannot be opened"):
        reader.read(model)
    assert model.training


@pytest.mark.parametrize("num_processes", [1, 2, 3, 8])
def test_batches_are_shared_out_once(num_processes):
    batches = [(0, 1), (2, 3), (4,)]
    shares = [share_out(batches, num_processes, process) for process in range(num_processes)]
    assert len({len(share) for share in shares}) == 1
    found = [batch for share in shares for batch in share if batch is not None]
    assert sorted(found) == batches


@pytest.mark.parametrize(
    "settings", [{}, {"tune": "lora", "lora_dropout": 0.3}], ids=["full", "lora with dropout"]
)
def test_a_run_learns_the_same_with_and_without_validation(folder, tmp_path, monkeypatch, settings):
    monkeypatch.setattr(saving, "draw_curves", lambda folder: None)
    save_small_model(tmp_path / "model")

    def learned(name, **more):
        config = TrainConfig(
            data_root=folder / "pages",
            train_file=folder / "val.json",
            model_path=str(tmp_path / "model"),
            output_dir=tmp_path / name,
            epochs=1,
            lr=1e-2,
            device="cpu",
            **settings,
            **more,
        )
        train(config, quiet=True)
        files = sorted((tmp_path / name / "last").rglob("*.safetensors"))
        return {file.name: file.read_bytes() for file in files}

    without = learned("without")
    validation = {"val_file": folder / "val.json", "guard_file": folder / "guard.json"}
    assert learned("with", **validation, eval_steps=1, eval_samples=2) == without
    measured = events(tmp_path / "with", "validation")
    assert [row["step"] for row in measured] == [0, 1, 2, 3, 4]
    assert all(row.keys() >= FIGURES | {"guard_cer", "seconds"} for row in measured)


def test_memory_that_runs_out_is_explained(make, monkeypatch):
    def exhausted(self, rows, *, max_new_tokens):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(OcrEngine, "generate", exhausted)
    with pytest.raises(TrainingError, match="validation after step 3: out of memory with 8 rows"):
        make(eval_samples=2).measure(small_model(), step=3, epoch=1)


def test_compiled_layers_are_measured_as_they_are_written(make):
    """Each row has another length, for which they would be compiled again."""
    model = small_model()
    expected = make(eval_samples=2).measure(model, step=0, epoch=1)
    compiled = []

    def compiler(graph, _):
        compiled.append(graph)
        return graph.forward

    for layer in model.model.layers:
        layer.compile(backend=compiler)
    found = make(eval_samples=2, compile=True).measure(model, step=0, epoch=1)
    assert (found, compiled) == (expected, [])
