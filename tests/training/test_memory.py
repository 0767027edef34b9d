"""Estimates of memory against what is counted, and the advice that follows from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.errors import UserError
from deepseek_ocr.model import DeepseekOcrConfig, DeepseekOcrForConditionalGeneration
from deepseek_ocr.model.presets import nano_config
from deepseek_ocr.resolution import num_image_tokens, view_settings
from deepseek_ocr.training.batching.planning import RowCost
from deepseek_ocr.training.config import TrainConfig
from deepseek_ocr.training.memory import device_memory
from deepseek_ocr.training.memory.advice import advise, alternatives, summary
from deepseek_ocr.training.memory.batch_size import BatchSize, a4_pages, packed_size_of, size_of
from deepseek_ocr.training.memory.estimate import (
    Workload,
    cache_bytes,
    estimate_memory,
    memory_table,
    reading_estimate,
)
from deepseek_ocr.training.memory.parameter_counts import counts_of, empty_model
from deepseek_ocr.training.memory.rehearsal import check_room
from deepseek_ocr.training.tuning.lora import add_adapter
from deepseek_ocr.training.tuning.parts import choose_trained, count_by_part

from .kept_bytes import KeptBytes, PeakBytes
from .samples import small_config, small_model

KEPT = ("sam", "clip", "decoder", "copies")
"""The parts of an estimate that are what the forward pass keeps."""
LOW, HIGH = 0.7, 1.4
"""The band that an estimate of what is kept must stay in."""


def run(**flags: object) -> TrainConfig:
    return TrainConfig(
        data_root=Path("pages"),
        train_file=Path("train.json"),
        model_path="base-untrained",
        output_dir=Path("out"),
        **flags,  # type: ignore[arg-type]
    )


PUBLISHED = empty_model(DeepseekOcrConfig())


def published(batch_size: int = 2, mode: str = "gundam", **changes: object) -> Workload:
    settings = view_settings(mode)
    batch = a4_pages(batch_size, settings, 1000)
    work = Workload(network=PUBLISHED, batch=batch, settings=settings, precision="bf16", stored=2)
    return dataclasses.replace(work, **changes)  # type: ignore[arg-type]


def wide_config() -> DeepseekOcrConfig:
    """Published widths, few layers, experts and words."""
    return DeepseekOcrConfig(
        sam_config={"num_hidden_layers": 2, "global_attn_indexes": [1], "image_size": 512},
        clip_config={"num_hidden_layers": 1},
        text_config={
            "num_hidden_layers": 2,
            "n_routed_experts": 8,
            "num_experts_per_tok": 6,
            "vocab_size": 512,
        },
        image_token_id=18,
    )


SIZES = {"nano": nano_config, "wide": wide_config}
BATCHES = {"nano": (2, 256, 128, (2, 2), 120), "wide": (1, 384, 192, (1, 2), 60)}
"""Rows, side of the overview and of the tiles, tile grid, answer tokens."""


def make_batch(size: str) -> tuple[dict[str, torch.Tensor], Workload]:
    """Inputs of rows that are alike, and what they are in numbers."""
    rows, base, tile, grid, answer = BATCHES[size]
    config = SIZES[size]()
    settings = view_settings("base", base_size=base, tile_size=tile)
    pictures = num_image_tokens(grid, settings)
    width = pictures + answer + 2
    ids = torch.full((rows, width), 30)
    ids[:, 1 : 1 + pictures] = config.image_token_id
    labels = torch.full((rows, width), -100)
    labels[:, -answer:] = 31
    tiles = rows * grid[0] * grid[1]
    generator = torch.Generator().manual_seed(0)
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": labels,
        "pixel_values": torch.rand(rows, 3, base, base, generator=generator),
        "tile_values": torch.rand(tiles, 3, tile, tile, generator=generator),
        "tile_grids": torch.tensor([grid] * rows),
    }
    batch = BatchSize(rows=rows, width=width, learned=rows * answer, overviews=rows, tiles=tiles)
    return inputs, Workload(
        network=empty_model(config), batch=batch, settings=settings, device="cpu"
    )


def make_model(config: DeepseekOcrConfig, training: TrainConfig, dtype: torch.dtype):
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        model = DeepseekOcrForConditionalGeneration(config).train()
    finally:
        torch.set_default_dtype(before)
    if training.tune == "full":
        choose_trained(model, training.trained_parts)
    else:
        model = add_adapter(model, training.trained_parts, training.lora_rank)
    if training.recomputed:
        from deepseek_ocr.model.recomputation import recompute

        recompute(model, training.recomputed)
    return model


FLAGS: list[dict[str, str]] = [
    {},
    {"parts": "decoder"},
    {"parts": "vision"},
    {"parts": "clip"},
    {"parts": "attention"},
    {"tune": "lora"},
    {"tune": "lora", "parts": "attention"},
    {"tune": "lora", "parts": "all"},
    {"tune": "lora", "parts": "experts"},
    {"gradient_checkpointing": "all"},
    {"gradient_checkpointing": "sam,clip"},
    {"tune": "lora", "gradient_checkpointing": "decoder"},
]
CASES = [("nano", precision, flags) for precision in ("no", "bf16") for flags in FLAGS]
CASES += [
    ("wide", "no", {}),
    ("wide", "bf16", {}),
    ("wide", "bf16", {"tune": "lora", "parts": "all"}),
    ("wide", "bf16", {"gradient_checkpointing": "all"}),
]


@pytest.mark.parametrize(
    "size, precision, flags", CASES, ids=lambda case: " ".join(case.values()) or "full" if isinstance(case, dict) else case
)  # fmt: skip
def test_what_is_kept_is_near_the_estimate(size, precision, flags):
    training = run(**flags)
    inputs, work = make_batch(size)
    stored = 2 if precision == "bf16" and training.tune != "full" else 4
    work = dataclasses.replace(work, precision=precision, stored=stored)
    model = make_model(work.model, training, torch.bfloat16 if stored == 2 else torch.float32)
    kept = KeptBytes(model)
    with kept.watch(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        output = model(**inputs)
    assert output.loss.requires_grad  # and what it keeps is kept as long as it is here
    parts = estimate_memory(training, work).parts
    estimated = sum(parts[name] for name in KEPT)
    counted = {stack: amount for stack, amount in kept.bytes().items() if stack != "rest"}
    assert LOW < estimated / sum(counted.values()) < HIGH, (counted, parts)


@pytest.mark.parametrize(
    "flags",
    [{}, {"parts": "decoder"}, {"tune": "lora"}, {"gradient_checkpointing": "all"}],
    ids=lambda flags: " ".join(flags.values()) or "full",
)
def test_whole_steps_stay_a_little_below_the_estimate(flags):
    training = run(**flags)
    inputs, work = make_batch("nano")
    model = make_model(work.model, training, torch.float32)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    with PeakBytes(model) as alive:
        for _ in range(2):  # the optimizer's state is there from the second on
            model(**inputs).loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    parts = estimate_memory(training, work).parts
    estimated = sum(parts.values()) - parts["program"] - parts["batch"]
    counted = alive.peak + sum(p.nbytes for p in model.parameters())
    assert 1 < estimated / counted < 1.3, (counted, parts)


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"parts": "decoder"},
        {"tune": "lora"},
        {"tune": "lora", "parts": "vision,attention,dense,shared,experts,head", "lora_rank": 3},
        {"tune": "dora", "parts": "attention,clip"},
    ],
    ids=lambda flags: " ".join(map(str, flags.values())) or "full",
)
def test_counts_are_those_of_the_model_that_trains(flags):
    training = run(**flags)
    model = small_model()
    counts = counts_of(model, training)
    if training.tune == "full":
        choose_trained(model, training.trained_parts)
    else:
        model = add_adapter(
            model, training.trained_parts, training.lora_rank, dora=training.tune == "dora"
        )
    assert counts.table() == count_by_part(model)


def test_the_published_model_is_counted_without_its_weights():
    counts = counts_of(PUBLISHED, run())
    assert counts.total == 3_336_106_240
    assert counts.num_trained == 3_336_106_240 - 602_112  # CLIP's unused patch embedding
    assert counts_of(PUBLISHED, run(tune="lora")).adapter == 3_978_240


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
def test_the_optimizer_keeps_what_is_estimated(optimizer):
    training = run(optimizer=optimizer)
    model = small_model()
    choose_trained(model, training.trained_parts)
    trained = [p for p in model.parameters() if p.requires_grad]
    kind = torch.optim.AdamW if optimizer == "adamw" else torch.optim.Adafactor
    state = kind(trained, lr=1e-3)
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    state.step()
    held = sum(t.nbytes for values in state.state.values() for t in values.values())
    steps = 4 * len(trained)  # a number each
    work = dataclasses.replace(published(), network=empty_model(small_config()))
    assert estimate_memory(training, work).parts["optimizer"] == held - steps


def test_full_tuning_of_the_published_model_takes_16_bytes_a_parameter():
    parts = estimate_memory(run(), published()).parts
    assert sum(parts[n] for n in ("weights", "gradients", "optimizer")) == pytest.approx(53.4e9, rel=0.01)  # fmt: skip


NANO = empty_model(nano_config())
SETTINGS = st.fixed_dictionaries(
    {
        "tune": st.sampled_from(["full", "lora"]),
        "gradient_checkpointing": st.sampled_from(["none", "sam,clip", "decoder", "all"]),
        "ema": st.sampled_from([None, 0.999]),
        "optimizer": st.sampled_from(["adamw", "adafactor"]),
    }
)


@given(SETTINGS, st.integers(1, 8), st.integers(1, 8))
def test_more_rows_never_take_less(flags, few, more):
    small, large = sorted((few, more))
    work = dataclasses.replace(published(), network=NANO)
    batch = work.batch
    totals = [
        estimate_memory(run(**flags), dataclasses.replace(work, batch=batch.with_rows(rows))).total
        for rows in (small, large)
    ]
    assert totals == sorted(totals)


@pytest.mark.parametrize(
    "less, more",
    [
        ({"gradient_checkpointing": "all"}, {}),
        ({"tune": "lora"}, {}),
        ({"tune": "qlora"}, {"tune": "lora"}),
        ({"optimizer": "adafactor"}, {}),
        ({}, {"ema": 0.999}),
        ({"parts": "decoder"}, {}),
    ],
    ids=str,
)
def test_what_is_said_to_take_less_does(less, more):
    assert estimate_memory(run(**less), published()).total < estimate_memory(run(**more), published()).total  # fmt: skip


def test_processes_that_share_the_model_hold_less_each():
    alone = estimate_memory(run(), published()).parts
    shared = estimate_memory(run(fsdp=True), published(num_processes=4)).parts
    for name in ("weights", "gradients", "optimizer"):
        assert shared[name] == alone[name] // 4
    assert shared["decoder"] == alone["decoder"]


def test_the_feature_cache_spares_the_vision_side():
    cached = run(parts="decoder", feature_cache="features")
    parts = estimate_memory(cached, published()).parts
    assert parts["sam"] == parts["clip"] == 0


def test_reading_while_validating_counts_its_cache():
    with_rows = run(val_file="val.json", eval_max_new_tokens=512)
    estimate = estimate_memory(with_rows, published())
    assert estimate.reading > estimate_memory(run(), published()).reading == 0
    assert "reading, while validating" in memory_table(estimate)


def test_the_cache_of_the_published_model_takes_61440_bytes_a_position():
    assert cache_bytes(DeepseekOcrConfig(), 1, 2) == 61_440


def test_a_page_read_takes_its_weights_and_cache():
    parts = reading_estimate(published(1), 2).parts
    assert parts["weights"] == 6_672_212_480
    assert parts["cache"] == 61_440 * published(1).batch.positions


def test_the_table_adds_up():
    estimate = estimate_memory(run(), published())
    assert f"{sum(estimate.parts.values()) / 1e9:.1f} GB" in memory_table(estimate).splitlines()[-1]


def test_where_it_fits_one_line_says_so():
    assert len(summary(run(), published(), 10**12).splitlines()) == 1


def test_where_it_does_not_fit_the_setting_that_would_is_named():
    text = summary(run(), published(), 80_000_000_000)
    assert "--gradient_checkpointing all would need" in text
    assert "weights" in text
    lora = summary(run(), published(), 24_000_000_000)
    assert "--tune lora would need" in lora


def test_advice_fits_or_is_the_least_there_is():
    for limit in (10**9, 5 * 10**9, 24 * 10**9, 80 * 10**9):
        tried = [estimate_memory(c, w).total for _, c, w in alternatives(run(), published())]
        fits = min(tried) <= 0.8 * limit
        lines = advise(run(), published(), limit)
        assert lines
        assert any("least" in line for line in lines) != fits


def test_weights_that_do_not_fit_are_refused_with_both_sizes():
    need = estimate_memory(run(), published()).weights
    with pytest.raises(UserError, match=r"take 13\.3 GB; the device cuda has 8\.0 GB"):
        check_room(need, 8_000_000_000, "the device cuda")
    check_room(need, 14_000_000_000, "the device cuda")
    check_room(need, None, "the device mps")


def test_a_batch_is_as_wide_as_its_longest_row_and_a_pack_as_all_its_rows():
    costs = [RowCost(positions=p, learned=3, overviews=1, tiles=t) for p, t in [(9, 0), (30, 4)]]
    size = size_of(costs)
    assert (size.rows, size.width, size.learned, size.overviews, size.tiles) == (2, 30, 6, 2, 4)
    pack = packed_size_of([costs, costs[:1]])
    assert (pack.rows, pack.width, pack.learned, pack.tiles) == (2, 39, 9, 4)


@pytest.mark.parametrize(
    "limit, expected", [("max", None), (str(10 * 2**20), 7 * 2**20)], ids=["none", "10 MiB"]
)
def test_the_limit_of_a_container_counts(tmp_path, limit, expected):
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{4 * 2**20}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {2**20}\n")
    assert device_memory._free_of_container(tmp_path) == expected


def test_this_machine_has_memory_for_this_process():
    held = device_memory.held_by_this_process()
    assert device_memory.memory_of(torch.device("cpu")) > held > 0
