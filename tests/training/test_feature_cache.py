"""Features of a frozen vision side, kept in files: nothing learned changes, nothing is trusted."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile

import pytest
import torch
from safetensors.torch import load_file, save_file

from deepseek_ocr.data.annotations import Annotation
from deepseek_ocr.errors import UsageError, UserError
from deepseek_ocr.training import Collator, PageDataset, TrainConfig, train
from deepseek_ocr.training.batching import feature_cache
from deepseek_ocr.training.batching.batches import Steps, plan_steps
from deepseek_ocr.training.batching.feature_cache import (
    prepare_features,
    read_features,
    rehearse_features,
    write_features,
)
from deepseek_ocr.training.processes.devices import accelerator_for
from deepseek_ocr.training.reporting.curves import read_curve
from deepseek_ocr.training.tuning.parts import choose_trained

from .samples import (
    make_rows,
    mixed_rows,
    save_small_model,
    small_model,
    small_processor,
    write_rows,
)


@pytest.fixture
def accelerator():
    with accelerator_for("cpu", "float32") as accelerator:
        yield accelerator


@pytest.fixture
def model():
    model = small_model()
    choose_trained(model, ["attention", "embeddings"])
    return model


@pytest.fixture
def pages(tmp_path):
    """Makes datasets of the same rows: one page, none, several."""
    rows = mixed_rows(tmp_path / "pages")
    return lambda: PageDataset(rows, small_processor(), tmp_path / "pages")


def files_in(folder):
    return sorted(folder.rglob("*.safetensors"))


@pytest.fixture
def counted(monkeypatch):
    """The keys of the features that are written, in order."""
    keys = []
    original = feature_cache.write_features

    def write(path, key, tokens):
        keys.append(key)
        original(path, key, tokens)

    monkeypatch.setattr(feature_cache, "write_features", write)
    return keys


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_batch_of_features_gives_the_loss_of_the_pages(
    model, pages, accelerator, tmp_path, num_workers
):
    plain, cached = pages(), pages()
    prepare_features(model, accelerator, cached, tmp_path / "c", num_workers=num_workers)
    collator, plan = Collator(plain.processor), plan_steps(range(6), batch_size=3)
    both = zip(
        Steps(plain, collator, plan, 0), Steps(cached, collator, plan, num_workers), strict=True
    )
    for (_, [batch]), (_, [other]) in both:
        assert "pixel_values" in batch and "pixel_values" not in other
        assert torch.equal(batch["input_ids"], other["input_ids"])
        assert torch.equal(batch["labels"], other["labels"])
        with torch.no_grad():  # pages are encoded together here, and one by one there
            torch.testing.assert_close(model(**batch).loss, model(**other).loss, atol=1e-6, rtol=0)


def test_no_picture_is_opened_once_features_are_there(model, pages, accelerator, tmp_path, counted):
    prepare_features(model, accelerator, pages(), tmp_path / "c")
    assert len(counted) == len(files_in(tmp_path / "c")) == 4  # a page of two rows is kept once
    again = pages()
    prepare_features(model, accelerator, again, tmp_path / "c")
    assert len(counted) == 4
    shutil.rmtree(tmp_path / "pages")
    Collator(again.processor)([again[i] for i in range(len(again))])


def test_a_batch_without_pictures_goes_forward_too(model, pages, accelerator, tmp_path):
    dataset = pages()
    prepare_features(model, accelerator, dataset, tmp_path / "c")
    batch = Collator(dataset.processor)([dataset[1], dataset[4]])
    assert batch["image_embeds"].shape == (0, 32)
    with torch.no_grad():
        assert model(**batch).loss.isfinite()


def changed_weights(model, dataset):
    with torch.no_grad():
        model.model.projector.layers.bias[0] += 1


def changed_views(model, dataset):
    dataset.processor.image_processor.max_tiles = 2


def changed_page(model, dataset):
    (dataset.root / "0.png").write_bytes((dataset.root / "1.png").read_bytes())


@pytest.mark.parametrize(
    "change, num_new", [(changed_weights, 4), (changed_views, 4), (changed_page, 0)]
)
def test_features_of_anything_else_are_not_taken(
    model, pages, accelerator, tmp_path, counted, change, num_new
):
    prepare_features(model, accelerator, pages(), tmp_path / "c")
    del counted[:]
    dataset = pages()
    change(model, dataset)
    prepare_features(model, accelerator, dataset, tmp_path / "c")
    assert len(counted) == num_new  # a page that became another's copy has its features
    with torch.no_grad():
        views = dataset.processor.image_processor(dataset.open_page("0.png"))
        [expected] = model.encode_images(**views)
    assert torch.equal(dataset.features.read("0.png"), expected)


def torn(path):
    path.write_bytes(path.read_bytes()[:-7])


def empty(path):
    path.write_bytes(b"")


def foreign(path):
    save_file({"image_tokens": torch.zeros(5, 32)}, path)


def misshapen(path):
    with feature_cache.safe_open(path, "pt") as file:
        about = file.metadata()
    save_file({"image_tokens": torch.zeros(5, 31)}, path, metadata=about)


@pytest.mark.parametrize("damage", [torn, empty, foreign, misshapen])
def test_a_damaged_file_is_computed_again(model, pages, accelerator, tmp_path, counted, damage):
    prepare_features(model, accelerator, pages(), tmp_path / "c")
    before = {path: path.read_bytes() for path in files_in(tmp_path / "c")}
    damage(next(iter(before)))
    del counted[:]
    prepare_features(model, accelerator, pages(), tmp_path / "c")
    assert len(counted) == 1
    assert {path: path.read_bytes() for path in files_in(tmp_path / "c")} == before


def flipped(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_all_damaged_files_are_found_at_once(model, pages, accelerator, tmp_path, counted, capsys):
    """Also where only a hash tells; so that no run stops at one of them after another."""
    prepare_features(model, accelerator, pages(), tmp_path / "c")
    before = {path: path.read_bytes() for path in files_in(tmp_path / "c")}
    one, two, three, _ = before
    flipped(one)
    flipped(two)
    torn(three)
    del counted[:]
    capsys.readouterr()
    prepare_features(model, accelerator, pages(), tmp_path / "c")
    assert len(counted) == 3
    assert {path: path.read_bytes() for path in files_in(tmp_path / "c")} == before
    assert "damaged files are computed again: 3" in capsys.readouterr().err


def test_damage_in_mid_run_says_one_thing_to_do(model, pages, accelerator, tmp_path):
    dataset = pages()
    prepare_features(model, accelerator, dataset, tmp_path / "c")
    flipped(dataset.features.path(dataset.features.keys["0.png"]))
    with pytest.raises(UserError, match=r"features of 0.png are gone, or damaged .*same command"):
        dataset[0]
    prepare_features(model, accelerator, dataset, tmp_path / "c")
    assert "image_embeds" in dataset[0]


def test_a_rehearsal_keeps_the_features_of_its_rows_in_memory(
    model, pages, accelerator, tmp_path, counted, monkeypatch
):
    places = tmp_path / "places"
    places.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(places))
    whole, some = pages(), pages()
    prepare_features(model, accelerator, whole, tmp_path / "c")
    del counted[:]
    rehearse_features(model, accelerator, some, [0])
    assert len(counted) == 1 and not list(places.iterdir())
    assert torch.equal(some[0]["image_embeds"], whole[0]["image_embeds"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_is_written_is_read(tmp_path, dtype):
    tokens = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    write_features(tmp_path / "ab" / "f.safetensors", "k", tokens)
    again = read_features(tmp_path / "ab" / "f.safetensors", "k", 5)
    assert again.dtype == dtype and torch.equal(again, tokens)


def test_a_folder_that_is_full_is_told(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_cache, "save_file", full)
    with pytest.raises(UserError, match=r"No space left on device.*another --feature_cache"):
        write_features(tmp_path / "f.safetensors", "k", torch.zeros(1, 1))
    assert not list(tmp_path.iterdir())


def test_a_page_that_cannot_be_opened_names_its_row(model, accelerator, tmp_path):
    (tmp_path / "a.png").write_bytes(b"broken")
    row = Annotation(id="a", images=("a.png",), prompt="<image>", text="t", source="l.json:1")
    dataset = PageDataset([row], small_processor(), tmp_path)
    with pytest.raises(UserError, match=r"^row a \(l.json:1\): a.png: "):
        prepare_features(model, accelerator, dataset, tmp_path / "c")


def test_random_numbers_are_as_before(model, pages, accelerator, tmp_path):
    before = torch.get_rng_state()
    prepare_features(model, accelerator, pages(), tmp_path / "c")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def make_config(tmp_path):
    save_small_model(tmp_path / "model")
    write_rows(tmp_path / "train.json", make_rows(tmp_path / "pages", 5))

    def make(output_dir, **settings):
        return TrainConfig(
            data_root=tmp_path / "pages",
            train_file=tmp_path / "train.json",
            model_path=str(tmp_path / "model"),
            output_dir=tmp_path / output_dir,
            epochs=1,
            lr=1e-2,
            device="cpu",
            try_largest=False,
            **settings,
        )

    return make


def run_of(config):
    """The loss of each step, and every tensor of the last checkpoint."""
    folder = train(config, quiet=True)
    tensors = {}
    for file in sorted(folder.rglob("*.safetensors")):
        for name, tensor in load_file(file).items():
            tensors[file.name, name] = tensor
    return list(read_curve(config.output_dir, "step", "loss").values()), tensors


LORA = {"tune": "lora", "parts": "attention,dense,shared"}


@pytest.mark.parametrize("settings", [{"parts": "decoder"}, LORA])
def test_a_run_with_features_learns_the_same_bytes(make_config, tmp_path, settings):
    plain = make_config("a", batch_size=1, grad_accum=2, **settings)
    cached = dataclasses.replace(plain, output_dir=tmp_path / "b", feature_cache=tmp_path / "c")
    (losses, tensors), (others, other_tensors) = run_of(plain), run_of(cached)
    assert len(files_in(tmp_path / "c")) == 5
    assert losses == others
    assert tensors.keys() == other_tensors.keys()
    assert all(torch.equal(tensor, other_tensors[key]) for key, tensor in tensors.items())


@pytest.mark.parametrize("settings", [{"packing": True}, {"batch_size": 3}])
def test_pages_encoded_together_differ_from_features_by_rounding(make_config, tmp_path, settings):
    plain = make_config("a", parts="decoder", **settings)
    cached = dataclasses.replace(plain, output_dir=tmp_path / "b", feature_cache=tmp_path / "c")
    losses, others = run_of(plain)[0], run_of(cached)[0]
    assert losses == pytest.approx(others, abs=1e-5)


@pytest.mark.parametrize(
    "settings",
    [{"parts": "all"}, {"parts": "decoder,projector"}, {"parts": "decoder", "augment": "blur"}],
)
def test_what_would_need_other_features_each_time_is_refused(make_config, tmp_path, settings):
    with pytest.raises(UsageError, match="--feature_cache keeps"):
        make_config("a", feature_cache=tmp_path / "c", **settings)
