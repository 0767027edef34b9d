"""Training on worn pages: repeatable, exactly resumable, recorded, and never for validation."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

from deepseek_ocr.data.annotations import read_annotations
from deepseek_ocr.data.augmentation import Augmentation
from deepseek_ocr.errors import UsageError, UserError
from deepseek_ocr.training import Collator, PageDataset, TrainConfig, loop, train
from deepseek_ocr.training.batching.batches import Steps, plan_steps, shuffled
from deepseek_ocr.training.batching.sample_sheet import seen_page
from deepseek_ocr.training.checkpoints import saving
from deepseek_ocr.training.checkpoints.checkpoint import read_checkpoint
from deepseek_ocr.training.reporting.curves import read_curve

from .samples import make_rows, save_small_model, small_processor, write_rows

WEAR = Augmentation(("rotation", "noise", "jpeg"), 2.0, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worn")
    save_small_model(folder / "model")
    rows = make_rows(folder / "pages", 6)
    write_rows(folder / "train.json", rows[:4])
    write_rows(folder / "val.json", rows[4:])
    return folder


@pytest.fixture(autouse=True)
def no_curves(monkeypatch):
    monkeypatch.setattr(saving, "draw_curves", lambda _: None)


@pytest.fixture
def make_config(folder, tmp_path):
    def make(output_dir="out", **settings) -> TrainConfig:
        return TrainConfig(
            data_root=folder / "pages",
            train_file=folder / "train.json",
            output_dir=tmp_path / output_dir,
            model_path=str(folder / "model"),
            **({"epochs": 2, "lr": 1e-2, "device": "cpu", "augment": "all"} | settings),
        )

    return make


def make_dataset(folder, augmentation=WEAR, **changes):
    rows = json.loads((folder / "train.json").read_text())
    path = write_rows(folder / "rows.json", [row | changes for row in rows])
    annotations = read_annotations(path, folder / "pages")
    return PageDataset(annotations, small_processor(), folder / "pages", augmentation=augmentation)


def views(dataset, row):
    return dataset[row]["pixel_values"]


def test_a_page_is_worn_in_its_own_way_in_each_epoch(folder):
    clean, dataset, again = make_dataset(folder, None), make_dataset(folder), make_dataset(folder)
    first = [views(dataset, row) for row in range(4)]
    assert any(not torch.equal(v, views(clean, row)) for row, v in enumerate(first))
    dataset.set_epoch(2)
    assert any(not torch.equal(v, views(dataset, row)) for row, v in enumerate(first))
    assert all(torch.equal(v, views(again, row)) for row, v in enumerate(first))
    for row in range(4):  # no page needs another tile grid than it had
        assert torch.equal(dataset[row]["tile_grids"], clean[row]["tile_grids"])
        assert torch.equal(dataset[row]["labels"], clean[row]["labels"])


@pytest.mark.parametrize("key", ["prompt", "text"])
def test_rows_with_boxes_are_not_moved(folder, key):
    box = "<|ref|>a<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>"
    changes = {key: f"<image>\n{box}" if key == "prompt" else box}
    moving = Augmentation(("rotation", "perspective"), 3.0)
    boxed, clean = make_dataset(folder, moving, **changes), make_dataset(folder, None, **changes)
    plain = make_dataset(folder, moving)
    moved = 0
    for epoch in (1, 2, 3):
        boxed.set_epoch(epoch)
        plain.set_epoch(epoch)
        for row in range(4):
            assert torch.equal(views(boxed, row), views(clean, row))
            moved += not torch.equal(views(plain, row), views(clean, row))
    assert moved


def test_workers_wear_pages_as_the_process_itself_does(folder):
    dataset = make_dataset(folder)
    dataset.set_epoch(2)
    plan = plan_steps(range(4), batch_size=2)
    alone, helped = (
        list(Steps(dataset, Collator(dataset.processor), plan, workers)) for workers in (0, 2)
    )
    for (_, batches), (_, others) in zip(alone, helped, strict=True):
        assert torch.equal(batches[0]["pixel_values"], others[0]["pixel_values"])


class Killed(BaseException):
    """Ends a run as a kill would."""


def test_a_killed_run_on_worn_pages_goes_on_exactly(make_config, monkeypatch):
    whole, stopped = (make_config(name, save_steps=1) for name in ("a", "b"))
    train(whole, quiet=True)
    original, count = loop.train_step, iter(range(1, 100))

    def stopping(*args, **kwargs):
        result = original(*args, **kwargs)
        if next(count) == 3:
            raise Killed
        return result

    monkeypatch.setattr(loop, "train_step", stopping)
    with pytest.raises(Killed):
        train(stopped, quiet=True)
    monkeypatch.setattr(loop, "train_step", original)
    train(stopped, quiet=True)
    losses, expected = (read_curve(c.output_dir, "step", "loss") for c in (stopped, whole))
    assert losses == expected
    weights = "epoch-2/model.safetensors"
    assert (stopped.output_dir / weights).read_bytes() == (whole.output_dir / weights).read_bytes()


def test_only_training_pages_are_worn(make_config, folder, monkeypatch):
    worn = []
    original = Augmentation.__call__

    def noting(self, page, **place):
        worn.append((place["epoch"], place["row"]))
        return original(self, page, **place)

    monkeypatch.setattr(Augmentation, "__call__", noting)
    config = make_config(val_file=folder / "val.json", try_largest=False)
    train(config, quiet=True)
    assert sorted(worn) == [(epoch, row) for epoch in (1, 2) for row in range(4)]
    assert list(read_curve(config.output_dir, "validation", "loss")) == [0, 2, 4]


def test_wear_is_recorded_and_part_of_what_identifies_a_run(make_config):
    config = make_config(epochs=1, augment="noise,ink", augment_strength=0.5)
    train(config, quiet=True)
    settings = read_checkpoint(config.output_dir / "epoch-1").run["settings"]
    assert (settings["augment"], settings["augment_strength"]) == ("ink,noise", 0.5)
    assert '"augment": "ink,noise"' in (config.output_dir / "experiment_logs.txt").read_text()
    with pytest.raises(UserError, match="--augment was ink,noise, now none"):
        train(make_config(epochs=1, augment="none"), quiet=True)


def test_a_run_from_before_there_was_wear_can_be_gone_on_with(make_config):
    config = make_config(epochs=1, augment="none")
    train(config, quiet=True)
    path = config.output_dir / "epoch-1" / "trainer_state" / "state.json"
    state = json.loads(path.read_text())
    for name in ("augment", "augment_strength"):
        del state["run"]["settings"][name]
    path.write_text(json.dumps(state))
    assert train(config, quiet=True).name == "epoch-1"
    with pytest.raises(UserError, match="--augment was none, now "):
        train(make_config(epochs=1), quiet=True)


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({"augment": "rotatoin"}, "unknown name 'rotatoin'; did you mean rotation?"),
        ({"augment_strength": 0.0}, "--augment_strength must lie above 0, up to 3; got 0.0"),
        ({"augment_strength": 4.0}, "got 4.0"),
        ({"augment_strength": float("nan")}, "got nan"),
        (
            {"augment": "none", "augment_strength": 2.0},
            "changes nothing by itself; say what it wears with --augment",
        ),
        ({"show_samples": 0}, "--show_samples must be at least 1, got 0"),
        ({"show_samples": 1000}, "--show_samples must be at most 100, got 1000"),
    ],
)
def test_wrong_settings_are_wrong_usage(make_config, settings, reason):
    with pytest.raises(UsageError, match=reason):
        make_config(**settings)


def test_the_first_pages_are_shown_as_the_model_sees_them(make_config, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "deepseek_ocr.training.batching.sample_sheet.contact_sheet",
        lambda cells, _: shown.extend(cells) or Image.new("RGB", (9, 9)),
    )
    config = make_config(epochs=1, show_samples=3)
    train(config, quiet=True)
    assert Image.open(config.output_dir / "samples.png").size == (9, 9)
    assert [cell.title.split()[1] for cell in shown] == [
        f"page-{row}" for row in shuffled(4, seed=config.seed, epoch=1)[:3]
    ]
    assert shown[0].text.startswith("asked: <image>\nConvert to markdown\nanswer: ")


@pytest.mark.parametrize("size", [(60, 50), (160, 90), (70, 150)])
def test_what_the_model_sees_of_a_page_are_its_views(size):
    processor = small_processor().image_processor
    page = Image.radial_gradient("L").resize(size).convert("RGB")
    overview, tiles, grid = processor.views(page, processor.settings())
    seen = seen_page(page, processor)
    top_left = processor.to_tensor(seen.crop((0, 0, 128, 128)))
    assert torch.equal(top_left, overview)
    assert (seen.size == (128, 128)) == (grid == (1, 1))
    assert len(tiles) == (grid[0] * grid[1] if grid != (1, 1) else 0)
