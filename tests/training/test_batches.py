"""Rows to batches: any mixture of pictures, weights and packs, whoever prepares them."""

from __future__ import annotations

import dataclasses
import itertools
import os
import signal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.annotations import read_annotations
from deepseek_ocr.errors import UserError
from deepseek_ocr.model.labels import IGNORE
from deepseek_ocr.training import Collator, PageDataset
from deepseek_ocr.training.batching.batches import (
    BatchReader,
    Steps,
    WorkerLost,
    learned_weight,
    num_learned,
    plan_steps,
    shuffled,
)
from deepseek_ocr.training.batching.planning import StepRows
from deepseek_ocr.training.batching.rows import common_prompt

from .samples import make_rows, mixed_rows, small_model, small_processor, write_rows


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    return PageDataset(mixed_rows(folder), small_processor(), folder)


@pytest.fixture(scope="module")
def collator(dataset):
    return Collator(dataset.processor)


def test_a_batch_holds_rows_with_no_one_and_several_pictures(dataset, collator):
    batch = collator([dataset[i] for i in range(len(dataset))])
    assert list(batch) == [
        "input_ids", "attention_mask", "labels", "pixel_values", "tile_values", "tile_grids"
    ]  # fmt: skip
    counts = [len(row.images) for row in dataset.annotations]
    assert counts == [1, 0, 2, 1, 0, 1]
    assert batch["pixel_values"].shape == (sum(counts), 3, 128, 128)
    tiles = sum(c * r for c, r in batch["tile_grids"].tolist() if c * r > 1)
    assert len(batch["tile_values"]) == tiles > 0


def test_a_batch_is_what_the_processor_makes_of_all_rows_at_once(dataset, collator):
    rows = dataset.annotations
    whole = dataset.processor(
        images=[dataset.open_page(image) for row in rows for image in row.images],
        text=[row.prompt for row in rows],
        answers=[row.text for row in rows],
    )
    batch = collator([dataset[i] for i in range(len(dataset))])
    assert batch.keys() == whole.keys()
    for name, tensor in batch.items():
        torch.testing.assert_close(tensor, whole[name], atol=0, rtol=0)


def test_the_loss_of_a_batch_is_the_token_weighted_mean_of_its_rows(dataset, collator):
    model = small_model()
    model.config.balance_loss_weight = 0.1
    rows = [collator([dataset[i]]) for i in range(len(dataset))]
    learned = [num_learned(row) for row in rows]
    with torch.no_grad():
        losses = [float(model(**row).loss) for row in rows]
        together = float(model(**collator([dataset[i] for i in range(len(dataset))])).loss)
    mean = sum(loss * n for loss, n in zip(losses, learned, strict=True)) / sum(learned)
    assert together == pytest.approx(mean, abs=1e-5)


@given(
    st.integers(1, 40), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(0, 9)
)
def test_an_epoch_has_every_row_once_whoever_shares_it(rows, batch_size, accum, processes, seed):
    order = shuffled(rows, seed=seed, epoch=1)
    plans = [
        plan_steps(
            order,
            batch_size=batch_size,
            grad_accum=accum,
            num_processes=processes,
            process=process,
        )
        for process in range(processes)
    ]
    seen = []
    for of_each_process in zip(*plans, strict=True):
        assert len({len(step.batches) for step in of_each_process}) == 1
        assert all(1 <= len(step.batches) <= accum for step in of_each_process)
        real = [step.batches[: step.num_real] for step in of_each_process]
        by_turns = itertools.zip_longest(*real, fillvalue=())
        seen += [row for turn in by_turns for batch in turn for row in batch]
    assert seen == order
    assert sorted(order) == list(range(rows))


def test_the_order_depends_on_seed_and_epoch_alone():
    assert shuffled(20, seed=1, epoch=2) == shuffled(20, seed=1, epoch=2)
    assert shuffled(20, seed=1, epoch=2) != shuffled(20, seed=1, epoch=3)
    assert shuffled(20, seed=1, epoch=2) != shuffled(20, seed=2, epoch=2)


def test_the_number_of_workers_changes_no_batch(dataset, collator):
    plan = plan_steps(shuffled(len(dataset), seed=0, epoch=1), batch_size=2, grad_accum=2)
    alone, helped = (list(Steps(dataset, collator, plan, n)) for n in (0, 2))
    for (step, batches), (other_step, other_batches) in zip(alone, helped, strict=True):
        assert step == other_step
        for batch, other in zip(batches, other_batches, strict=True):
            for name in batch:
                torch.testing.assert_close(batch[name], other[name], atol=0, rtol=0)


def test_reading_batches_draws_no_random_number(dataset, collator):
    before = torch.get_rng_state()
    list(Steps(dataset, collator, plan_steps(range(3), batch_size=1), num_workers=0))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_that_fills_up_a_process_learns_nothing(dataset, collator):
    plan = plan_steps([0, 1, 2], batch_size=1, grad_accum=1, num_processes=2, process=1)
    assert [step.num_real for step in plan] == [1, 0]
    batches = [batch for _, step in Steps(dataset, collator, plan, 0) for batch in step]
    assert num_learned(batches[0]) > 0
    assert bool((batches[1]["labels"] == IGNORE).all())


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_damaged_picture_names_its_row_in_one_line(tmp_path, num_workers):
    rows = make_rows(tmp_path, 2)
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    annotations = read_annotations(write_rows(tmp_path / "t.json", rows), tmp_path)
    processor = small_processor()
    dataset = PageDataset(annotations, processor, tmp_path)
    steps = Steps(dataset, Collator(processor), plan_steps([0, 1], batch_size=1), num_workers)
    with pytest.raises(UserError, match=r"^row page-1 \(labels.json:2\): 1.png: .*$") as error:
        list(steps)
    assert "Traceback" not in str(error.value)


def test_the_common_prompt_is_the_one_the_model_sees(tmp_path):
    rows = make_rows(tmp_path, 2)
    rows[1]["prompt"] += " "
    annotations = read_annotations(write_rows(tmp_path / "t.json", rows), tmp_path)
    assert common_prompt(annotations) == "<image>\nConvert to markdown"
    rows[1]["prompt"] = "<image>\nRead"
    annotations = read_annotations(write_rows(tmp_path / "t.json", rows), tmp_path)
    assert common_prompt(annotations) is None


def packs_of(*packs: tuple[int, ...]) -> StepRows:
    return StepRows(batches=(packs,), num_real=1)


def test_a_pack_holds_its_rows_end_to_end(dataset, collator):
    packs = [[dataset[i] for i in pack] for pack in [(0, 1, 2), (3, 5)]]
    batch = collator.packed(packs)
    lengths = [[row["input_ids"].shape[1] for row in pack] for pack in packs]
    width = max(map(sum, lengths))
    assert batch["input_ids"].shape == batch["segment_ids"].shape == (2, width)
    for line, pack in enumerate(packs):
        start = 0
        for number, row in enumerate(pack, start=1):
            part = (line, slice(start, start := start + row["input_ids"].shape[1]))
            assert torch.equal(batch["input_ids"][part], row["input_ids"][0])
            assert torch.equal(batch["labels"][part], row["labels"][0])
            assert set(batch["segment_ids"][part].tolist()) == {number}
            assert bool(batch["attention_mask"][part].all())
        assert not batch["attention_mask"][line, start:].any()
        assert not batch["segment_ids"][line, start:].any()
    for name in ("pixel_values", "tile_values", "tile_grids"):
        rows = torch.cat([row[name] for pack in packs for row in pack])
        assert torch.equal(batch[name], rows)


def test_the_first_token_of_a_packed_row_is_never_learned(collator):
    learns_all = {
        name: torch.tensor([[7, 8]]) for name in ("input_ids", "attention_mask", "labels")
    }
    packed = collator.packed([[learns_all, learns_all]])
    assert packed["labels"].tolist() == [[IGNORE, 8, IGNORE, 8]]
    assert num_learned(packed) == 2 * num_learned(collator([learns_all]))


def test_packing_changes_neither_the_number_of_learned_tokens_nor_their_loss(dataset, collator):
    model = small_model()
    rows = [dataset[i] for i in range(len(dataset))]
    plain, packed = collator(rows), collator.packed([rows[:4], rows[4:]])
    assert num_learned(plain) == num_learned(packed)
    with torch.no_grad():
        torch.testing.assert_close(model(**packed).loss, model(**plain).loss, atol=1e-5, rtol=0)


def test_the_weight_of_a_row_is_that_of_each_of_its_tokens(dataset, collator):
    weighted = dataclasses.replace(dataset.annotations[0], weight=2.5)
    one = PageDataset([weighted, dataset.annotations[1]], dataset.processor, dataset.root)
    first, second = one[0], one[1]
    assert "label_weights" not in second
    for batch in (collator([first, second]), collator.packed([[second, first]])):
        counts = [num_learned(collator([row])) for row in (first, second)]
        assert learned_weight(batch) == pytest.approx(2.5 * counts[0] + counts[1])
        assert batch["label_weights"].shape == batch["labels"].shape
    assert learned_weight(collator([second])) == num_learned(collator([second]))


def test_a_row_without_an_answer_learns_its_end_and_no_loss_is_of_nothing(dataset, collator):
    empty = dataclasses.replace(dataset.annotations[0], text="")
    batch = collator([PageDataset([empty], dataset.processor, dataset.root)[0]])
    assert num_learned(batch) == 1
    assert float(small_model()(**batch).loss.detach()) > 0.1


class _Telling(Collator):
    """Also tells the epoch that the rows were read for, and by which process."""

    def __call__(self, rows):
        told = {k: torch.tensor([row[k] for row in rows]) for k in ("epoch", "process")}
        return super().__call__(rows) | told


def test_workers_that_stay_read_each_epoch_as_new_ones_would(dataset):
    collator = _Telling(dataset.processor)
    plans = {
        epoch: plan_steps(dataset.order(seed=1, epoch=epoch), batch_size=2) for epoch in (1, 2)
    }
    reader = BatchReader(_TellsEpoch(dataset), collator, num_workers=2)
    processes = set()
    for epoch, plan in plans.items():
        alone = Steps(_TellsEpoch(dataset), collator, plan, 0, epoch)
        for (step, batches), (other, others) in zip(alone, reader.steps(plan, epoch), strict=True):
            assert step == other
            for batch, prepared in zip(batches, others, strict=True):
                assert torch.equal(batch["input_ids"], prepared["input_ids"])
                assert batch["epoch"].tolist() == prepared["epoch"].tolist() == [epoch] * 2
                processes |= set(prepared["process"].tolist())
    assert len(processes) == 2


def test_an_epoch_that_was_left_early_does_not_come_back(dataset, collator):
    reader = BatchReader(dataset, collator, num_workers=1)
    plan = plan_steps(range(6), batch_size=1)
    next(iter(reader.steps(plan)))
    again = [batches[0]["input_ids"] for _, batches in reader.steps(plan[4:])]
    assert [ids.tolist() for ids in again] == [dataset[i]["input_ids"].tolist() for i in (4, 5)]


def test_packs_are_read_by_workers_as_by_the_process_itself(dataset, collator):
    step = packs_of((0, 1), (2,))
    alone, helped = (
        next(iter(Steps(dataset, collator, [step], workers)))[1][0] for workers in (0, 1)
    )
    assert alone.keys() == helped.keys()
    assert all(torch.equal(alone[name], helped[name]) for name in alone)


class _TellsEpoch(torch.utils.data.Dataset):
    """The rows of another dataset with the epoch they were read for, and the process."""

    def __init__(self, dataset):
        self.dataset, self.epoch = dataset, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __getitem__(self, index):
        return self.dataset[index] | {"epoch": self.epoch, "process": os.getpid()}


class _Dies(torch.utils.data.Dataset):
    """Kills the process that reads it, as the system does when memory runs out."""

    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_told_in_plain_words(collator):
    with pytest.raises(WorkerLost, match=r"was killed, mostly because memory ran out; lower"):
        list(Steps(_Dies(), collator, plan_steps([0], batch_size=1), num_workers=1))


def test_it_works_under_the_trainer_of_transformers(dataset, collator, tmp_path):
    from transformers import Trainer, TrainingArguments

    model = small_model()
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=3,
        per_device_train_batch_size=3,
        gradient_accumulation_steps=2,
        learning_rate=1e-3,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, train_dataset=dataset, data_collator=collator)
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert len(losses) == 3 and losses[-1] < losses[0]
