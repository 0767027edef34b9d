"""Libraries are imported late, quietly, and without code from the network."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from deepseek_ocr.errors import UsageError
from deepseek_ocr.model import late_imports
from deepseek_ocr.model.late_imports import import_bitsandbytes, is_adapted, without_hub_kernels
from tests.conftest import REPOSITORY

USES = """
import sys, torch
from deepseek_ocr.model.loading import load_model
from deepseek_ocr.model.quantization import PackedWeights
from deepseek_ocr.training.tuning.lora import add_adapter
model, _ = load_model("nano-untrained", device="cpu")
assert not {"peft", "bitsandbytes"} & set(sys.modules)  # seconds that a plain model does not need
add_adapter(model, ["projector"], rank=2)
PackedWeights(torch.randn(1, 8, 8), torch.device("cpu"))
assert {"peft", "bitsandbytes"} <= set(sys.modules)
"""


def test_code_from_the_hub_is_not_fetched_where_the_library_for_it_is_installed(tmp_path):
    sprung = tmp_path / "sprung"
    (tmp_path / "kernels.py").write_text(
        f"def get_kernel(*_, **__):\n    open({str(sprung)!r}, 'w').close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", USES],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not sprung.exists()
    assert "kernels" not in done.stderr


def test_the_library_is_to_be_found_again_afterwards(monkeypatch):
    for here in (None, object()):
        if here is not None:
            monkeypatch.setitem(sys.modules, "kernels", here)
        else:
            monkeypatch.delitem(sys.modules, "kernels", raising=False)
        with without_hub_kernels(), pytest.raises(ImportError):
            import kernels  # noqa: F401
        assert sys.modules.get("kernels") is here


def test_what_is_not_installed_or_broken_is_a_usage_error_with_the_flag(monkeypatch):
    monkeypatch.setattr(late_imports.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="--tune qlora: needs bitsandbytes; run `pip install"):
        import_bitsandbytes("--tune qlora")
    monkeypatch.undo()

    def broken(name):
        raise OSError("libcudart.so is missing")

    monkeypatch.setattr(late_imports.importlib, "import_module", broken)
    with pytest.raises(UsageError, match=r"cannot be loaded here \(libcudart\.so is missing"):
        import_bitsandbytes("--tune qlora")


def test_a_plain_model_is_not_adapted():
    assert not is_adapted(object())
