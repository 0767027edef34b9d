"""Compiled layers: the same names, the same gradients, and what is needed for them."""

from __future__ import annotations

import pytest
import torch

from deepseek_ocr.data.annotations import read_annotations
from deepseek_ocr.errors import UsageError
from deepseek_ocr.model.loading import load_model
from deepseek_ocr.model.recomputation import recompute
from deepseek_ocr.training import Collator, PageDataset, train
from deepseek_ocr.training.optimization import compilation
from deepseek_ocr.training.optimization.compilation import check_compile, compile_layers
from deepseek_ocr.training.tuning.lora import add_adapter

from .runs import losses_of
from .samples import small_model, small_processor


@pytest.fixture
def batch(folder):
    rows = read_annotations(folder / "train.json", folder / "pages")
    dataset = PageDataset(rows, small_processor(), folder / "pages")
    return Collator(small_processor())([dataset[0], dataset[1]])


def gradients(model, batch):
    model.zero_grad()
    model(**batch).loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.proof  # loading the compiler alone takes half a minute
@pytest.mark.parametrize("adapted, recomputed", [(False, ()), (True, ()), (False, ("decoder",))])
def test_names_and_gradients_stay(batch, adapted, recomputed):
    def make():
        model = small_model()
        return add_adapter(model, ["attention", "sam"], 2) if adapted else model

    expected = gradients(make(), batch)
    model = make()
    names = list(model.state_dict())
    recompute(model, recomputed)
    compile_layers(model, backend="eager")
    assert list(model.state_dict()) == names
    found = gradients(model, batch)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-5, rtol=1e-4)


def test_what_cannot_be_compiled_is_refused(monkeypatch):
    with pytest.raises(UsageError, match="--compile is for CPU and CUDA, not mps"):
        check_compile(torch.device("mps"))
    monkeypatch.setattr(compilation.shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match=r"needs a C\+\+ compiler"):
        check_compile(torch.device("cpu"))


@pytest.mark.proof
def test_a_compiled_run_learns_the_same_and_saves_the_same_names(make_config):
    settings = {"max_steps": 2, "val_file": None}
    plain, compiled = make_config("a", **settings), make_config("b", compile=True, **settings)
    train(plain, quiet=True)
    train(compiled, quiet=True)
    assert losses_of(compiled) == pytest.approx(losses_of(plain), abs=1e-3)
    model, _ = load_model(compiled.output_dir / "last", device="cpu")
    assert list(model.state_dict()) == list(small_model().state_dict())
