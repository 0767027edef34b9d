"""Which rows each step takes: each once an epoch, within the budget, the same wherever it is asked.

And what rows take, from the heads of their pictures alone.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deepseek_ocr.data.annotations import Annotation
from deepseek_ocr.errors import UsageError, UserError
from deepseek_ocr.training import Collator, PageDataset, TrainConfig
from deepseek_ocr.training.batching import rows as rows_module
from deepseek_ocr.training.batching.batches import num_learned
from deepseek_ocr.training.batching.packing import best_fit
from deepseek_ocr.training.batching.planning import (
    Planner,
    RowCost,
    fixed_batches,
    padded_positions,
    plan_steps,
    rows_of,
    shuffled,
)
from deepseek_ocr.training.batching.rows import row_costs

from .samples import mixed_rows, small_processor

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=60)


class Numbers:
    """A dataset of which only the order matters."""

    def __init__(self, size: int):
        self.size = size

    def __len__(self):
        return self.size

    def order(self, *, seed, epoch):
        return shuffled(self.size, seed=seed, epoch=epoch)

    def name(self, index):
        return f"row {index}"


def costs_of(lengths, views=0):
    return [RowCost(positions=n, learned=1, overviews=views, tiles=0) for n in lengths]


def planner(lengths, *, num_processes=1, process=0, **settings):
    config = TrainConfig(
        data_root=Path(), train_file=Path("t"), model_path="m", output_dir=Path("o"), **settings
    )
    return Planner(config, Numbers(len(lengths)), costs_of(lengths), num_processes, process)


def in_budget(lengths, seed=42, **settings):
    return planner(lengths, max_tokens_per_batch=max(300, 2 * max(lengths)), seed=seed, **settings)


WAYS = {
    "fixed": lambda lengths, **s: planner(lengths, batch_size=3, **s),
    "budget": in_budget,
    "packed": lambda lengths, **s: in_budget(lengths, packing=True, **s),
    "packed to the longest": lambda lengths, **s: planner(lengths, packing=True, **s),
}


@pytest.mark.parametrize("way", WAYS)
@given(
    lengths=LENGTHS, accum=st.integers(1, 3), processes=st.integers(1, 3), seed=st.integers(0, 9)
)
def test_each_row_is_in_each_epoch_once_and_processes_have_equally_many_batches(
    way, lengths, accum, processes, seed
):
    planners = [
        WAYS[way](lengths, grad_accum=accum, num_processes=processes, process=p, seed=seed)
        for p in range(processes)
    ]
    for epoch in (1, 2):
        plans = [planner.epoch(epoch) for planner in planners]
        assert {len(plan) for plan in plans} == {planners[0].num_steps(epoch)}
        seen = []
        for steps in zip(*plans, strict=True):
            assert len({len(step.batches) for step in steps}) == 1
            assert len(steps[0].batches) <= accum
            real = [batch for step in steps for batch in step.batches[: step.num_real]]
            seen += [row for batch in real for row in rows_of(batch)]
        assert sorted(seen) == list(range(len(lengths)))


@pytest.mark.parametrize("way", WAYS)
@given(lengths=LENGTHS, seed=st.integers(0, 9))
def test_a_plan_depends_on_seed_and_epoch_alone(way, lengths, seed):
    one, other = (WAYS[way](lengths, seed=seed) for _ in range(2))
    plans = [one.epoch(epoch) for epoch in (1, 2, 3)]
    assert [other.epoch(epoch) for epoch in (3, 2, 1)] == plans[::-1]


@pytest.mark.parametrize("way", WAYS)
@given(lengths=LENGTHS)
def test_a_step_has_the_same_rows_however_many_processes_share_it(way, lengths):
    alone = WAYS[way](lengths, grad_accum=4).epoch(1)
    shared = [WAYS[way](lengths, grad_accum=2, num_processes=2, process=p).epoch(1) for p in (0, 1)]
    for step, *parts in zip(alone, *shared, strict=True):
        real = [part.batches[: part.num_real] for part in parts]
        by_turns = itertools.chain.from_iterable(itertools.zip_longest(*real))
        assert tuple(batch for batch in by_turns if batch) == step.batches


@given(lengths=LENGTHS, budget=st.integers(300, 900))
def test_a_batch_keeps_its_budget_padding_included(lengths, budget):
    costs = costs_of(lengths)
    for packing in (False, True):
        for step in planner(lengths, max_tokens_per_batch=budget, packing=packing).epoch(1):
            assert all(padded_positions(batch, costs) <= budget for batch in step.batches)


@given(lengths=LENGTHS, limit=st.integers(300, 900))
def test_packs_keep_their_limit_and_no_two_of_them_would_fit_into_one(lengths, limit):
    rows = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    packs = best_fit(rows, lengths, limit)
    filled = sorted(sum(lengths[row] for row in pack) for pack in packs)
    assert sorted(rows_of(tuple(packs))) == list(range(len(lengths)))
    assert filled[-1] <= limit
    assert len(filled) < 2 or filled[0] + filled[1] > limit


def padding_share(batches, costs):
    taken = sum(padded_positions(batch, costs) for batch in batches)
    return 1 - sum(cost.positions for cost in costs) / taken


def batches_of(planner, epoch=1):
    return [batch for step in planner.epoch(epoch) for batch in step.batches]


@pytest.mark.parametrize("seed", range(4))
def test_alike_rows_and_packs_waste_less_than_rows_as_they_come(seed):
    draw = random.Random(seed).lognormvariate
    lengths = [min(int(draw(5.0, 0.7)), 3000) + 20 for _ in range(600)]
    costs = costs_of(lengths)
    as_they_come = padding_share(batches_of(planner(lengths, batch_size=8)), costs)
    alike = padding_share(batches_of(planner(lengths, max_tokens_per_batch=4096)), costs)
    packs = batches_of(planner(lengths, max_tokens_per_batch=4096, packing=True))
    packed = 1 - sum(lengths) / (4096 * len(packs))
    assert alike < 0.1 < 0.3 < as_they_come
    assert packed < 0.05


def test_alike_rows_meet_other_neighbours_in_the_next_epoch():
    whole = planner([500 + i % 10 for i in range(200)], max_tokens_per_batch=4096)
    first, second = ({frozenset(batch) for batch in batches_of(whole, e)} for e in (1, 2))
    assert len(first & second) < len(first) / 4


def test_rows_of_one_length_are_parted_by_their_views():
    costs = [
        RowCost(positions=100, learned=1, overviews=row % 2, tiles=4 * (row % 2))
        for row in range(40)
    ]
    config = planner([1], max_tokens_per_batch=1000).config
    for step in Planner(config, Numbers(40), costs).epoch(1):
        assert len({costs[row].views for row in step.batches[0]}) == 1


def test_fixed_batches_are_those_of_before():
    order = shuffled(11, seed=42, epoch=2)
    assert planner([9] * 11, batch_size=2, grad_accum=2).epoch(2) == plan_steps(
        order, batch_size=2, grad_accum=2
    )
    assert fixed_batches(order, 4)[-1] == tuple(order[8:])


def test_what_fills_up_a_process_is_one_row_of_the_step():
    plan = planner([9] * 5, num_processes=2, process=1, packing=True).epoch(1)
    assert plan[-1].num_real == 0
    assert len(rows_of(plan[-1].batches[0])) == 1


def test_rows_above_the_budget_are_named():
    with pytest.raises(UserError) as caught:
        planner([10, 50, 60, 70, 80, 90, 99], max_tokens_per_batch=40)
    lines = str(caught.value).splitlines()
    assert lines[0] == "--max_tokens_per_batch 40 is less than some rows take:"
    assert lines[1] == "row 1: takes 50 positions" and lines[6] == "and 1 more row"
    assert lines[-1].startswith("Raise it to at least 99, or split")


@pytest.mark.parametrize("settings", [{"packing": True}, {"max_tokens_per_batch": 99}])
def test_rows_of_unknown_lengths_cannot_be_sorted_by_them(settings):
    config = planner([1], **settings).config
    with pytest.raises(UsageError, match=r"drawn pages \(--synth\) are not; use --batch_size"):
        Planner(config, Numbers(3), None)


def test_the_largest_batch_is_that_of_all_epochs():
    lengths = [7 * i % 90 + 1 for i in range(30)]
    whole = planner(lengths, batch_size=4, epochs=3, num_processes=2)
    costs = costs_of(lengths)
    every = [batch for epoch in (1, 2, 3) for batch in whole._batches(epoch)]
    (largest,) = whole.largest().batches
    assert padded_positions(largest, costs) == max(padded_positions(b, costs) for b in every)


def test_of_rows_of_unknown_lengths_the_last_are_tried():
    config = planner([1], batch_size=2).config
    order = shuffled(5, seed=42, epoch=1)
    assert Planner(config, Numbers(5), None).largest().batches == (tuple(order[-2:]),)


def test_views_count_where_the_vision_side_trains():
    costs = [
        RowCost(positions=100, learned=1, overviews=0, tiles=0),
        RowCost(positions=90, learned=1, overviews=1, tiles=2),
    ]
    config = planner([1], batch_size=1).config
    assert Planner(config, Numbers(2), costs).largest().batches == ((1,),)
    lora = dataclasses.replace(config, tune="lora")
    assert Planner(lora, Numbers(2), costs).largest().batches == ((0,),)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    return PageDataset(mixed_rows(folder), small_processor(), folder)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_costs_are_those_of_the_batches_that_are_made(dataset, num_workers, monkeypatch):
    monkeypatch.setattr(rows_module, "ROWS_A_TASK", 2)
    rows = dataset.annotations
    costs = row_costs(rows, dataset.processor, dataset.root, 256, num_workers=num_workers)
    collator = Collator(dataset.processor)
    for index, cost in enumerate(costs):
        batch = collator([dataset[index]])
        assert cost.positions == batch["input_ids"].shape[1]
        assert cost.learned == num_learned(batch)
        assert cost.overviews == len(batch["pixel_values"])
        assert cost.tiles == len(batch["tile_values"])


def test_no_picture_is_decoded_to_count(dataset, monkeypatch):
    def never(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(Image.Image, "load", never)
    row_costs(dataset.annotations, dataset.processor, dataset.root, 256, num_workers=0)


def test_rows_that_are_too_long_are_named_and_counted(dataset):
    rows = dataset.annotations
    costs = row_costs(rows, dataset.processor, dataset.root, 256)
    longest = max(range(len(rows)), key=lambda row: costs[row].positions)
    most = costs[longest].positions
    row_costs(rows, dataset.processor, dataset.root, most)
    with pytest.raises(UserError, match=rf"^row {longest}: takes {most} positions, the limit is"):
        row_costs(rows, dataset.processor, dataset.root, most - 1)
    with pytest.raises(UserError) as caught:
        row_costs(rows, dataset.processor, dataset.root, 1)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines[:5]] == [f"row {row}" for row in range(5)]
    assert lines[5] == "and 1 more row"
    assert lines[6].startswith("Split the text, raise --max_length")


def test_rows_whose_pictures_are_none_are_named_before_anything_else(dataset, tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    rows = [
        Annotation(id=name, images=(name,), prompt="<image>\nRead", text="a", source=f"l:{line}")
        for line, name in enumerate(["empty.png", "missing.png"], start=1)
    ]
    with pytest.raises(UserError) as caught:
        row_costs(rows, dataset.processor, tmp_path, 256)
    first, second = str(caught.value).splitlines()
    assert first.startswith("row empty.png (l:1): empty.png: the file is empty")
    assert second.startswith("row missing.png (l:2): missing.png: does not exist")


@pytest.mark.parametrize(
    "row",
    [
        Annotation(id="a", images=(), prompt="Read", text="ends<｜end▁of▁sentence｜>"),
        Annotation(id="a", images=(), prompt="<image>\nRead", text="a"),
    ],
)
def test_a_row_that_cannot_be_encoded_is_named(dataset, row):
    with pytest.raises(UserError, match=r"^row a: the (answer|prompt) "):
        row_costs([row], dataset.processor, dataset.root, 256)
