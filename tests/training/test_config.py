"""Settings that a run refuses before it begins."""

from __future__ import annotations

import dataclasses

import pytest

from deepseek_ocr.errors import UsageError, UserError
from deepseek_ocr.training import train
from deepseek_ocr.training.settings.idle import check_given


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({"max_length": 9}, "takes .* positions, the limit is 9"),
        ({"max_length": 1000}, "--max_length is 1000, the model has 256 positions"),
        ({"base_size": 100}, "base_size is 100; expected a multiple of 16"),
        ({"dtype": "float16"}, "--dtype float16 needs CUDA"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    make_config, settings, reason
):
    config = make_config(**settings)
    with pytest.raises(UserError, match=reason):
        train(config, quiet=True)
    assert not config.output_dir.exists()


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({"epochs": 0}, "--epochs must be at least 1, got 0"),
        ({"lr": 0.0}, "--lr must be above 0"),
        ({"lr": float("nan")}, "--lr: expected a finite number, got nan"),
        ({"weight_decay": float("inf")}, "--weight_decay: expected a finite number, got inf"),
        ({"balance_loss_weight": float("nan")}, "expected a finite number"),
        ({"device": "warp"}, "unknown device 'warp'"),
        ({"device": "cuda:x"}, "unknown device 'cuda:x'"),
        ({"parts": " "}, "--parts is empty; name parts"),
        ({"track": 3}, "--track: expected a text, got 3"),
        ({"part_lr": (1,)}, "--part_lr: expected a list, each a text"),
        ({"adam_beta2": 1.0}, "--adam_beta2 must lie from 0 to below 1"),
        ({"adam_epsilon": 0.0}, "--adam_epsilon must be above 0"),
        ({"optimizer": "adafactor", "adam_beta1": 0.8}, "nothing with --optimizer adafactor"),
        ({"warmup_steps": -1}, "--warmup_steps must be at least 0"),
        ({"warmup_steps": 5, "warmup_ratio": 0.1}, "--warmup_ratio changes nothing with --warmup"),
        ({"lora_rank": 8}, "--lora_rank changes nothing without an adapter; choose one"),
        ({"synth_size": 64}, "--synth_size changes nothing without drawn pages"),
        ({"augment_strength": 0.5}, "--augment_strength changes nothing by itself"),
        ({"warmup_ratio": 1.5}, "between 0 and 1"),
        ({"parts": "decodr"}, "did you mean decoder"),
        ({"tune": "lora", "parts": "router"}, "router has no linear layers"),
        ({"eval_steps": 3, "val_file": None}, "--eval_steps needs rows"),
        ({"max_tiles": 0}, "--max_tiles must be at least 1, got 0"),
        ({"base_size": 0}, "--base_size must be at least 64, got 0"),
        ({"tile_size": 0}, "--tile_size must be at least 64, got 0"),
        ({"seed": 2**32}, "--seed must be at most 4294967295, got 4294967296"),
        ({"tune": "prefix"}, "--tune: expected one of full, lora, dora, qlora, got 'prefix'"),
        ({"dtype": "f"}, "--dtype: expected one of auto, float32, bfloat16, float16, got 'f'"),
        ({"mode": "huge"}, "--mode: expected one of tiny, .*, got 'huge'"),
        ({"mode": ["tiny"]}, r"--mode: expected one of tiny, .*, got \['tiny'\]"),
        ({"epochs": "2"}, "--epochs: expected a whole number, got '2'"),
        ({"batch_size": 1.5}, "--batch_size: expected a whole number, got 1.5"),
        ({"batch_size": None}, "--batch_size: expected a whole number, got None"),
        ({"max_steps": True}, "--max_steps: expected a whole number, got True"),
        ({"lr": "fast"}, "--lr: expected a number, got 'fast'"),
        ({"weight_decay": True}, "--weight_decay: expected a number, got True"),
        (
            {"tune": "full", "lora_dropout": 0.1, "lora_alpha": 2},
            "--lora_alpha and --lora_dropout ",
        ),
        ({"decay_ratio": 0.2}, "--decay_ratio changes nothing without --lr_schedule wsd"),
        ({"lr_schedule": "wsd", "warmup_ratio": 0.7, "decay_ratio": 0.6}, "more than all steps"),
        ({"feature_cache": "c"}, "leave these out of --parts: sam, compressor, clip, projector"),
        ({"feature_cache": "c", "parts": "decoder", "augment": "all"}, "--augment wears it anew"),
        ({"balance_loss_weight": 0.1, "parts": "attention"}, "train it with --parts"),
        ({"balance_loss_weight": 0.1, "tune": "lora"}, "train it with --parts"),
        ({"fsdp": True, "tune": "qlora"}, "--fsdp shares weights"),
        ({"fsdp": True, "optimizer": "adafactor"}, "--fsdp shares weights"),
        ({"part_lr": ("clips=1",)}, "--part_lr: unknown part 'clips'; did you mean clip"),
        ({"part_weight_decay": ("sam=x",)}, "--part_weight_decay: expected sam=NUMBER"),
        ({"part_lr": "sam=1"}, "--part_lr: expected a list, got 'sam=1'"),
        ({"patience": 2, "val_file": None}, "--patience needs rows"),
        ({"guard_file": "g", "val_file": None, "patience": 1}, "--patience needs rows"),
        ({"best_metric": "cer"}, "--best_metric cer needs --eval_samples above 0"),
        ({"ema": 1.0}, "--ema must lie from 0 to below 1, got 1.0"),
        ({"gradient_checkpointing": "vision"}, "--gradient_checkpointing: unknown 'vision'"),
        ({"track": "tensorbord"}, "--track: unknown 'tensorbord'"),
        ({"optimizer": "sgd"}, "--optimizer: expected one of adamw, adamw8bit, adafactor"),
    ],
)
def test_settings_that_make_no_sense_are_wrong_usage(make_config, settings, reason):
    with pytest.raises(UsageError, match=reason):
        make_config(**settings)


def test_numbers_may_be_whole_and_optional_ones_none(make_config):
    config = make_config(lr=1, weight_decay=0, seed=2**32 - 1, max_steps=None)
    assert (config.peak_lr, config.weight_decay, config.max_steps) == (1, 0, None)


def test_paths_may_be_strings(make_config):
    config = make_config()
    paths = ("data_root", "train_file", "output_dir", "val_file")
    texts = {name: str(getattr(config, name)) for name in paths}
    assert dataclasses.replace(config, **texts) == config


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({"packing": True}, "drawn pages come in their order"),
        ({"max_tokens_per_batch": 64}, "drawn pages come in their order"),
        ({"feature_cache": "c", "parts": "decoder"}, "--synth draws new ones"),
        ({"synth_task": "glyphs", "label_smoothing": 0.1}, "are the decoder's"),
        ({"fsdp": True, "glyph_weight": (1.0,)}, "--fsdp shares a model without other heads"),
    ],
)
def test_settings_that_drawn_pages_cannot_have_are_wrong_usage(make_config, settings, reason):
    drawn = {"synth": "lines", "max_steps": 2, "train_file": None}
    with pytest.raises(UsageError, match=reason):
        dataclasses.replace(make_config(), **drawn, **settings)


@pytest.mark.parametrize(
    "settings, flag, reason",
    [
        ({}, "lora_rank", "without an adapter"),
        ({"max_tokens_per_batch": 99}, "batch_size", "with --max_tokens_per_batch, which takes"),
        ({"synth": "lines", "max_steps": 2}, "epochs", "with --synth"),
        ({"synth": "lines", "max_steps": 2, "val_file": None}, "data_root", "with --synth"),
        ({"val_file": None}, "eval_samples", "without rows to measure"),
        ({"val_file": None}, "eval_at_start", "without rows to measure"),
        ({"eval_samples": 0}, "eval_max_new_tokens", "nothing is read"),
        ({"mode": "tiny"}, "max_tiles", "with --mode tiny, which has no tiles"),
        ({"warmup_steps": 5}, "warmup_ratio", "with --warmup_steps"),
    ],
)
def test_a_flag_that_changes_nothing_is_refused_even_if_it_repeats_the_default(
    make_config, settings, flag, reason
):
    drawn = {"train_file": None} if "synth" in settings else {}
    config = dataclasses.replace(make_config(), **settings, **drawn)
    with pytest.raises(UsageError, match=f"^--{flag} changes nothing .*{reason}"):
        check_given(config, {flag, "lr"})
    check_given(config, {"lr", "output_dir"})


def test_rates_of_parts_may_be_given_with_commas_or_blanks(make_config):
    config = make_config(part_lr=("sam=1e-5,clip=1e-4,", "head=0"))
    assert config == make_config(part_lr=("sam=1e-5", "clip=1e-4", "head=0"))
    assert config.lr_of_parts == {"sam": 1e-5, "clip": 1e-4, "head": 0.0}


def test_rows_of_another_kind_may_be_measured_alone(make_config):
    assert make_config(guard_file="g", val_file=None, eval_steps=2).eval_steps == 2


def test_settings_that_say_how_fast_or_how_long_do_not_tell_runs_apart(make_config):
    plain = make_config().deciding()
    same = {"num_workers": 2, "patience": 3, "compile": True, "gradient_checkpointing": "all"}
    same |= {"eval_at_start": False, "keep": 1, "save_only_model": True}
    assert make_config(**same).deciding() == plain
    assert make_config(warmup_steps=3).deciding() != plain
    assert make_config(ema=0.9).deciding() != plain
    assert make_config(part_lr=("head=1e-4",)).deciding() != plain
