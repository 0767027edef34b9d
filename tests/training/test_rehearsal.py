"""A trial changes nothing, memory that runs out is explained, a dry run leaves nothing behind."""

from __future__ import annotations

import re
import tempfile

import pytest
import torch

from deepseek_ocr.errors import EXIT_REFUSED, UserError
from deepseek_ocr.inference.engine import OcrEngine
from deepseek_ocr.training import TrainConfig, train
from deepseek_ocr.training.checkpoints.identity import describe_run
from deepseek_ocr.training.memory import rehearsal
from deepseek_ocr.training.processes.devices import accelerator_for
from deepseek_ocr.training.run import prepare, read_samples

from .runs import content_of, losses_of


@pytest.fixture
def make_training(make_config):
    """A run in memory, before its first step."""
    with accelerator_for("cpu", "auto") as accelerator:

        def make(**flags):
            config = make_config(**flags)
            samples = read_samples(config)
            run = describe_run(config, samples.sha256, 1)
            return prepare(config, samples, accelerator, run, None, quiet=flags.get("quiet", True))

        yield make


FLAGS = [
    {},
    {"tune": "lora", "lora_dropout": 0.3},
    {"augment": "noise,rotation", "ema": 0.9, "grad_accum": 2},
    {"packing": True},
    {"max_tokens_per_batch": 400, "label_smoothing": 0.1},
]


@pytest.mark.parametrize("flags", FLAGS, ids=lambda flags: " ".join(flags) or "full")
def test_a_run_gives_the_same_bytes_with_the_trial_and_without(make_config, flags):
    tried = make_config("tried", epochs=1, try_largest=True, **flags)
    plain = make_config("plain", epochs=1, try_largest=False, **flags)
    folders = [train(config, quiet=True).parent for config in (tried, plain)]
    assert losses_of(tried) == losses_of(plain)
    assert content_of(folders[0] / "epoch-1") == content_of(folders[1] / "epoch-1")


def test_the_trial_goes_forward_and_backward_with_the_largest_batch(make_training, monkeypatch):
    training = make_training(max_tokens_per_batch=400)
    seen = []
    original = training.model.forward
    monkeypatch.setattr(
        training.model, "forward", lambda **batch: seen.append(batch) or original(**batch)
    )
    gradients = []
    some = next(p for p in training.model.parameters() if p.requires_grad)
    some.register_post_accumulate_grad_hook(lambda p: gradients.append(p.grad.abs().sum()))
    rehearsal.try_largest(training)
    [batch] = training.planner.largest().batches
    assert len(seen) == len(gradients) == 1
    assert len(seen[0]["input_ids"]) == len(batch)


def test_the_trial_leaves_gradients_states_and_mode(make_training):
    training = make_training()
    training.model.eval()
    some = next(p for p in training.model.parameters() if p.requires_grad)
    some.grad = torch.ones_like(some)
    weights = {name: p.clone() for name, p in training.model.named_parameters()}
    state = torch.get_rng_state()
    rehearsal.try_largest(training)
    assert torch.equal(some.grad, torch.ones_like(some))
    assert sum(p.grad is not None for p in training.model.parameters()) == 1
    assert torch.equal(torch.get_rng_state(), state)
    assert not training.model.training
    assert not training.optimizer.state
    for name, parameter in training.model.named_parameters():
        assert torch.equal(parameter, weights[name]), name


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError("no memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_memory_that_runs_out_is_refused_with_what_to_change(make_training, monkeypatch, error):
    training = make_training(batch_size=3)

    def fail(*_):
        raise error

    monkeypatch.setattr(rehearsal, "_forward_and_backward", fail)
    with pytest.raises(UserError) as found:
        rehearsal.try_largest(training)
    assert found.value.exit_code == EXIT_REFUSED
    text = str(found.value)
    assert re.search(r"3 rows of \d+ positions, 3 overviews and \d+ tiles", text)
    assert "--gradient_checkpointing all" in text


def test_another_error_of_the_trial_is_no_lack_of_memory(make_training, monkeypatch):
    training = make_training()

    def fail(*_):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(rehearsal, "_forward_and_backward", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        rehearsal.try_largest(training)


@pytest.mark.parametrize("flags", [{}, {"tune": "lora"}, {"ema": 0.9}], ids=str)
def test_a_dry_run_goes_through_everything_and_writes_nothing(
    make_config, monkeypatch, tmp_path, capsys, flags
):
    places = tmp_path / "places"
    places.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(places))
    config = make_config(dry_run=True, eval_samples=1, **flags)
    train(config)
    assert not config.output_dir.exists()
    assert list(places.iterdir()) == []
    told = capsys.readouterr().err
    assert "weights" in told and "at most" in told  # the whole table
    assert "validation loss" in told
    outcome = r"dry run: .* of memory at most; [\d.]+ s the first step; a checkpoint takes .*B$"
    assert len(re.findall(outcome, told, re.M)) == 1
    assert re.search(r"the largest batch [\d.]+ s; .* loading back", told)


def test_a_dry_run_reads_one_row_of_each_file_for_a_few_tokens(make_config, monkeypatch):
    lengths = []
    original = OcrEngine.generate

    def generate(engine, requests, *, max_new_tokens):
        lengths.append((len(requests), max_new_tokens))
        return original(engine, requests, max_new_tokens=max_new_tokens)

    monkeypatch.setattr(OcrEngine, "generate", generate)
    config = make_config(dry_run=True, eval_samples=3, guard_file=make_config().val_file)
    train(config, quiet=True)
    assert len(lengths) == 4  # of two files, before the step and after it
    assert all(rows == 1 and tokens <= 16 for rows, tokens in lengths)


def test_a_dry_run_tries_the_features_without_their_folder(make_config, tmp_path, monkeypatch):
    seen = []
    original = rehearsal._forward_and_backward

    def keep(training, inputs):
        seen.append(set(inputs))
        original(training, inputs)

    monkeypatch.setattr(rehearsal, "_forward_and_backward", keep)
    cache = tmp_path / "features"
    train(make_config(dry_run=True, feature_cache=cache, parts="decoder"), quiet=True)
    assert "image_embeds" in seen[0] and "pixel_values" not in seen[0]
    assert not cache.exists()


def test_a_dry_run_beside_a_finished_run_leaves_it_alone(make_config):
    config = make_config(epochs=1, eval_samples=0)
    train(config, quiet=True)
    before = content_of(config.output_dir)
    train(make_config(epochs=1, eval_samples=0, dry_run=True), quiet=True)
    assert content_of(config.output_dir) == before


def test_what_a_run_needs_is_told_before_it_starts(make_config, capsys):
    train(make_config(epochs=1, eval_samples=0))
    told = capsys.readouterr().err
    line = next(line for line in told.splitlines() if line.startswith("memory: needs about"))
    assert "the device has" in line
    assert told.index(line) < told.index("part ")


def test_weights_that_do_not_fit_are_refused_before_they_are_read(make_config, monkeypatch):
    monkeypatch.setattr(rehearsal, "memory_of", lambda device: 1000)
    config = make_config()
    with pytest.raises(UserError, match="the weights alone take"):
        train(config, quiet=True)
    assert not config.output_dir.exists()


def test_drawn_pages_are_tried_too(folder, tmp_path, undrawn):
    config = TrainConfig(
        model_path=str(folder / "model"),
        output_dir=tmp_path / "out",
        synth="words",
        synth_size=64,
        max_steps=1,
        device="cpu",
    )
    train(config, quiet=True)
    assert len(losses_of(config)) == 1
