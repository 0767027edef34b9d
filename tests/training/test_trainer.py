"""The model, the dataset and the collator under `transformers.Trainer`, as a user would take it."""

from __future__ import annotations

import copy

import pytest
import torch

from deepseek_ocr.training.batching.batches import Collator, PageDataset, num_learned

from .samples import mixed_rows, small_model, small_processor


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    return PageDataset(mixed_rows(folder), small_processor(), folder)


class WithLogits(Collator):
    """Batches that ask for logits beside the loss, for who measures them."""

    def __call__(self, rows):
        return {**super().__call__(rows), "with_logits": True}


def trainer(dataset, folder, collator=Collator, **arguments):
    from transformers import Trainer, TrainingArguments

    settings = {
        "max_steps": 2, "per_device_train_batch_size": 3, "per_device_eval_batch_size": 3,
        "gradient_accumulation_steps": 2, "learning_rate": 1e-3, "logging_steps": 1,
        "save_strategy": "no", "report_to": [], "use_cpu": True, "disable_tqdm": True,
    }  # fmt: skip
    model = small_model()
    model.config.balance_loss_weight = 0.001
    return Trainer(
        model,
        TrainingArguments(output_dir=str(folder), **settings | arguments),
        train_dataset=dataset,
        eval_dataset=dataset,
        data_collator=collator(dataset.processor),
    )


def test_it_trains_with_the_loss_of_all_accumulated_tokens(dataset, tmp_path):
    made = trainer(dataset, tmp_path, max_steps=3)
    made.train()
    losses = [row["loss"] for row in made.state.log_history if "loss" in row]
    assert len(losses) == 3 and losses[-1] < losses[0]


def test_it_measures_the_loss_without_logits(dataset, tmp_path):
    made = trainer(dataset, tmp_path, prediction_loss_only=True)
    whole = made.data_collator([dataset[i] for i in range(len(dataset))])
    expected, learned = 0.0, num_learned(whole)
    for start in range(0, len(dataset), 3):
        batch = made.data_collator([dataset[i] for i in range(start, start + 3)])
        with torch.no_grad():
            expected += made.model.eval()(**batch).loss.item() / 2  # Trainer means the batches
    assert learned and made.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-5)


def test_without_being_asked_for_logits_there_are_no_predictions(dataset, tmp_path):
    predicted = trainer(dataset, tmp_path).predict(dataset)
    assert predicted.metrics["test_loss"] > 0
    assert len(predicted.predictions) == 0
    assert predicted.label_ids.shape[0] == len(dataset)


def test_logits_are_predictions_where_the_batch_asks_for_them(dataset, tmp_path):
    made = trainer(dataset, tmp_path, WithLogits)
    predicted = made.predict(dataset)
    vocabulary = made.model.config.vocab_size
    assert predicted.predictions.shape == (*predicted.label_ids.shape, vocabulary)
    inputs = made.data_collator([dataset[0]])
    with torch.no_grad():
        alone = copy.deepcopy(made.model).eval()(**inputs).logits[0]
    found = torch.tensor(predicted.predictions[0, : len(alone)])
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=0)


def test_its_label_smoothing_works_on_logits_of_its_own(dataset, tmp_path):
    made = trainer(dataset, tmp_path, label_smoothing_factor=0.1, max_steps=1)
    made.train()
    assert made.state.log_history[0]["loss"] > 0
