"""Training on pages that are drawn meanwhile, with and without the heads that name glyphs."""

from __future__ import annotations

import json

import pytest
import torch

from deepseek_ocr.errors import UsageError, UserError
from deepseek_ocr.model import sam
from deepseek_ocr.model.loading import load_model
from deepseek_ocr.training import TrainConfig, loop, train
from deepseek_ocr.training.batching.batches import Collator, plan_steps
from deepseek_ocr.training.checkpoints import saving
from deepseek_ocr.training.checkpoints.checkpoint import HEADS, STATE_FOLDER
from deepseek_ocr.training.drawn.heads import GlyphHeads, TaughtWithGlyphs
from deepseek_ocr.training.drawn.pages import PROMPT, draw_pages
from deepseek_ocr.training.reporting.curves import read_curve

from .samples import make_rows, save_small_model, small_model, small_processor, write_rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    save_small_model(folder / "model")
    return folder


@pytest.fixture(autouse=True)
def no_curves(monkeypatch):
    monkeypatch.setattr(saving, "draw_curves", lambda _: None)


@pytest.fixture
def make_config(folder, tmp_path):
    def make(output_dir="out", **settings) -> TrainConfig:
        defaults = {
            "model_path": str(folder / "model"),
            "synth": "words",
            "synth_size": 64,
            "synth_characters": (4, 8),
            "mode": "base",
            "base_size": 64,
            "max_tiles": 1,
            "batch_size": 2,
            "max_steps": 4,
            "lr": 1e-2,
            "device": "cpu",
        }
        return TrainConfig(output_dir=tmp_path / output_dir, **(defaults | settings))

    return make


def losses_of(config, figure="loss"):
    return read_curve(config.output_dir, "step", figure)


def weights_of(path):
    return {file.name: file.read_bytes() for file in sorted(path.glob("*.safetensors"))}


def states_of(path):
    return {file.name: file.read_bytes() for file in (path / STATE_FOLDER).glob("*.safetensors")}


def interrupted_after(monkeypatch, step):
    """Let the next run end as if killed, once step number `step` has been taken."""

    class Killed(BaseException):
        pass

    original, count = loop.train_step, iter(range(1, 1000))

    def killing(*args, **kwargs):
        result = original(*args, **kwargs)
        if next(count) == step:
            raise Killed
        return result

    monkeypatch.setattr(loop, "train_step", killing)
    return Killed, lambda: monkeypatch.setattr(loop, "train_step", original)


def test_a_run_ends_after_its_steps_in_a_model_with_the_prompt(make_config):
    config = make_config()
    best = train(config, quiet=True)
    assert list(losses_of(config)) == [1, 2, 3, 4] and not losses_of(config, "glyph_loss")
    assert best.name == "epoch-1"
    _, processor = load_model(str(best))
    assert processor.prompt == PROMPT == "<image>\nFree OCR."


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"glyph_weight": (0.5, 0.1), "grad_accum": 2, "synth_variety": (0.0, 1.0)},
        {"synth_spacing": (1.0, 0.0)},
        {"synth_task": "glyphs", "parts": "vision"},
    ],
)
def test_a_killed_run_goes_on_exactly(make_config, monkeypatch, settings):
    whole, stopped = (make_config(name, save_steps=1, **settings) for name in "ab")
    train(whole, quiet=True)
    killed, mend = interrupted_after(monkeypatch, 3)
    with pytest.raises(killed):
        train(stopped, quiet=True)
    mend()
    train(stopped, quiet=True)
    assert losses_of(stopped) == losses_of(whole)
    assert losses_of(stopped, "glyph_loss") == losses_of(whole, "glyph_loss")
    one, other = (config.output_dir / "last" for config in (whole, stopped))
    assert weights_of(one) == weights_of(other) and states_of(one) == states_of(other)


def test_workers_draw_the_same_pages(make_config):
    alone, helped = make_config("a"), make_config("b", num_workers=2)
    for config in (alone, helped):
        train(config, quiet=True)
    assert losses_of(alone) == losses_of(helped)


def test_another_seed_sees_other_pages(make_config):
    one, other = make_config("a"), make_config("b", seed=7)
    for config in (one, other):
        train(config, quiet=True)
    assert losses_of(one)[1] != losses_of(other)[1]


def test_the_heads_are_kept_for_resuming_and_are_no_part_of_the_model(make_config):
    config = make_config(glyph_weight=(0.5,))
    best = train(config, quiet=True)
    assert (best / STATE_FOLDER / HEADS).is_file()
    plain = train(make_config("plain"), quiet=True)
    assert not (plain / STATE_FOLDER / HEADS).exists()
    names = [{p.name for p in folder.iterdir()} for folder in (best, plain)]
    assert names[0] == names[1]
    model, _ = load_model(str(best))
    assert not any("heads" in name for name, _ in model.named_parameters())
    assert set(losses_of(config, "glyph_loss")) == {1, 2, 3, 4}


def test_the_next_stage_goes_on_with_the_heads_of_the_one_before(make_config, monkeypatch):
    first = train(make_config("first", glyph_weight=(0.5,)), quiet=True)
    loaded = []
    original = GlyphHeads.load_state_dict
    monkeypatch.setattr(
        GlyphHeads,
        "load_state_dict",
        lambda self, state, *a, **k: loaded.append(state) or original(self, state, *a, **k),
    )
    train(make_config("second", model_path=str(first), glyph_weight=(0.5,)), quiet=True)
    assert len(loaded) == 1 and loaded[0]["on_grid.weight"].shape[1] == 16


def test_the_weight_of_the_heads_goes_from_its_first_value_to_its_last(make_config, monkeypatch):
    weights, original = [], loop.train_step

    def noting(model, *args, **kwargs):
        weights.append(model.weight)
        return original(model, *args, **kwargs)

    monkeypatch.setattr(loop, "train_step", noting)
    train(make_config(glyph_weight=(0.8, 0.2)), quiet=True)
    assert weights == pytest.approx([0.8, 0.6, 0.4, 0.2])


def a_batch(make_config, rows=4):
    config = make_config(glyph_weight=(1.0,))
    processor = small_processor()
    processor.image_processor.mode = "base"
    processor.image_processor.base_size, processor.image_processor.tile_size = 64, None
    pages = draw_pages(config, processor, 256, num_processes=1)
    return Collator(processor)([pages[i] for i in range(rows)])


def with_heads(weight):
    model = small_model()
    torch.manual_seed(1)
    taught = TaughtWithGlyphs(model, GlyphHeads(16, 32)).train()
    taught.weight = weight
    return taught


def test_the_loss_is_the_answer_s_and_the_weighted_heads(make_config):
    batch, taught = a_batch(make_config), with_heads(0.3)
    loss = taught(**batch, num_items_in_batch=10).loss
    alone = taught.model(**{k: v for k, v in batch.items() if k != "glyphs"}, num_items_in_batch=10)
    assert taught.glyph_loss > 0
    torch.testing.assert_close(loss, alone.loss + 0.3 * taught.glyph_loss)


def test_the_heads_see_all_overviews_where_they_are_encoded_in_parts(make_config, monkeypatch):
    batch, taught = a_batch(make_config), with_heads(1.0)
    whole = taught(**batch, num_items_in_batch=1).loss
    monkeypatch.setattr(sam, "CPU_PATCHES", 16)  # of one overview of 64 pixels
    torch.testing.assert_close(taught(**batch, num_items_in_batch=1).loss, whole)


def test_the_heads_teach_encoder_and_projector_and_not_the_decoder(make_config):
    batch, taught = a_batch(make_config), with_heads(1.0)
    batch["labels"].fill_(-100)
    taught(**batch, num_items_in_batch=1).loss.backward()
    model = taught.model.model
    assert model.sam_model.patch_embed.proj.weight.grad.abs().sum() > 0
    assert model.projector.layers.weight.grad.abs().sum() > 0
    assert not any(p.grad is not None and p.grad.any() for p in model.layers.parameters())


def test_batches_of_a_step_add_up_to_a_large_one(make_config):
    batch, taught = a_batch(make_config), with_heads(0.5)
    taught(**batch, num_items_in_batch=7).loss.backward()
    whole = {name: p.grad.clone() for name, p in taught.named_parameters() if p.grad is not None}
    taught.zero_grad()
    for rows in (slice(0, 2), slice(2, 4)):
        part = {name: value[rows] for name, value in batch.items() if name != "tile_values"}
        taught(**part, num_items_in_batch=7).loss.backward()
    for name, parameter in taught.named_parameters():
        if name in whole:
            torch.testing.assert_close(parameter.grad, whole[name], atol=1e-5, rtol=1e-4)


def test_naming_glyphs_alone_changes_the_encoder_and_leaves_the_decoder(make_config, folder):
    config = make_config(synth_task="glyphs", max_steps=12)
    before, _ = load_model(str(folder / "model"), dtype="float32")
    after, _ = load_model(str(train(config, quiet=True)), dtype="float32")
    changed = {
        name
        for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True)
        if not torch.equal(old, new)
    }
    assert "model.sam_model.patch_embed.proj.weight" in changed
    assert "model.projector.layers.weight" in changed
    assert not any(name.startswith(("model.layers", "model.embed", "lm_head")) for name in changed)
    losses = losses_of(config)
    assert losses[12] < losses[1] and not losses_of(config, "glyph_loss")


def test_outside_training_the_heads_are_silent(make_config):
    batch, taught = a_batch(make_config), with_heads(0.5).eval()
    output = taught(**batch, num_items_in_batch=1)
    assert taught.glyph_loss is None
    assert torch.equal(output.loss, taught.model(**batch, num_items_in_batch=1).loss)


def test_only_the_newest_checkpoints_are_kept(make_config):
    config = make_config(save_steps=1, keep=2)
    train(config, quiet=True)
    names = {path.name for path in config.output_dir.iterdir() if path.is_dir()}
    assert names == {"step-3", "epoch-1", "last", "best"}


def test_a_page_that_is_too_long_ends_the_run_and_is_named(make_config):
    with pytest.raises(UserError, match=r"drawn page \d+: takes \d+ positions, the limit is 12"):
        train(make_config(max_length=12), quiet=True)


def test_rows_for_validation_may_come_from_a_file(make_config, tmp_path):
    rows = write_rows(tmp_path / "val.json", make_rows(tmp_path / "pages", 2))
    config = make_config(val_file=rows, data_root=tmp_path / "pages")
    train(config, quiet=True)
    assert list(read_curve(config.output_dir, "validation", "loss")) == [0, 4]


def test_a_run_of_other_pages_is_another_run(make_config):
    train(make_config(), quiet=True)
    with pytest.raises(UserError, match=r"--synth_characters was \[4, 8\], now \[4, 9\]"):
        train(make_config(synth_characters=(4, 9)), quiet=True)


def test_steps_hold_each_page_once(make_config):
    config = make_config(grad_accum=3, max_steps=5)
    pages = draw_pages(config, small_processor(), 256, num_processes=2)
    assert len(pages) == 5 * 2 * 3 * 2
    order = pages.order(seed=1, epoch=1)
    plans = [
        plan_steps(order, batch_size=2, grad_accum=3, num_processes=2, process=p) for p in (0, 1)
    ]
    seen = [row for plan in plans for step in plan for batch in step.batches for row in batch]
    assert sorted(seen) == list(range(60)) and [len(plan) for plan in plans] == [5, 5]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"synth": "wrds"}, "unknown kind 'wrds'; did you mean words"),
        ({"synth": "letters"}, "letters need at least 360 pixels"),
        ({"max_steps": None}, "say how many steps with --max_steps"),
        ({"train_file": "t.json", "data_root": "d"}, "--synth takes the place of --train_file"),
        ({"val_file": "v.json"}, "--val_file needs --data_root"),
        ({"synth": None}, "missing: --data_root, --train_file"),
        ({"tune": "lora", "glyph_weight": (1.0,)}, "need --tune full"),
        ({"tune": "lora", "synth_task": "glyphs"}, "need --tune full"),
        ({"synth_variety": (0.0, 1.5)}, "expected shares from 0 to 1"),
        ({"synth_spacing": (1.0, -0.5)}, "expected one or two numbers from 0"),
        ({"synth": None, "train_file": "t", "data_root": "d", "synth_task": "glyphs"}, "--synth"),
        ({"glyph_weight": (0.1, 0.2, 0.3)}, "expected one or two numbers"),
        ({"synth_characters": (-1,)}, "expected one or two numbers"),
    ],
)
def test_what_does_not_fit_together_is_refused(make_config, settings, message):
    with pytest.raises(UsageError, match=message):
        make_config(**settings)


def test_the_metrics_hold_both_losses(make_config):
    config = make_config(glyph_weight=(0.5,))
    train(config, quiet=True)
    rows = map(json.loads, (config.output_dir / "metrics.jsonl").open())
    steps = [row for row in rows if row["event"] == "step"]
    assert all(row["glyph_loss"] > 0 and row["loss"] > 0 for row in steps)
