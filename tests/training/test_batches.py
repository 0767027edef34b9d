"""Rows to batches: any mixture of pictures, an order that the seed alone decides."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.annotations import read_annotations
from deepseek_ocr.errors import UserError
from deepseek_ocr.model.labels import IGNORE
from deepseek_ocr.training import Collator, PageDataset
from deepseek_ocr.training.batches import Steps, num_learned, plan_steps, shuffled
from deepseek_ocr.training.rows import check_lengths, common_prompt, most_image_tokens

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


def test_lengths_are_those_of_the_rows_and_one_that_is_too_long_is_named(dataset):
    lengths = [dataset[i]["input_ids"].shape[1] for i in range(len(dataset))]
    root = dataset.open_page.args[0]
    check_lengths(dataset.annotations, dataset.processor, root, max(lengths))
    longest = lengths.index(max(lengths))
    with pytest.raises(UserError, match=rf"^row {longest}: takes {max(lengths)} positions"):
        check_lengths(dataset.annotations, dataset.processor, root, max(lengths) - 1)


def test_pictures_are_not_opened_to_check_rows_that_fit_anyway(dataset):
    def never(*_):
        raise AssertionError("opened")

    most = most_image_tokens(dataset.processor.image_processor.settings())
    limit = max(dataset[i]["input_ids"].shape[1] for i in range(len(dataset))) + 2 * most
    check_lengths(dataset.annotations, dataset.processor, None, limit, open_page=never)


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
        remove_unused_columns=False,
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, train_dataset=dataset, data_collator=collator)
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert len(losses) == 3 and losses[-1] < losses[0]
