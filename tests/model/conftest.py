"""What the tests of the model share: the untrained small preset, in memory and as a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deepseek_ocr.model import DeepseekOcrForConditionalGeneration, DeepseekOcrProcessor
from deepseek_ocr.model.presets import NANO_FOLDER, untrained

torch.set_num_threads(1)  # small products; more threads only wait for each other


@pytest.fixture(scope="session")
def nano() -> DeepseekOcrForConditionalGeneration:
    """`nano-untrained` in float32; not to be changed."""
    return untrained("nano-untrained", seed=0)[0]


@pytest.fixture(scope="session")
def nano_processor() -> DeepseekOcrProcessor:
    """The processor of the small presets; not to be changed."""
    return DeepseekOcrProcessor.from_pretrained(NANO_FOLDER)


@pytest.fixture(scope="session")
def nano_folder(nano, nano_processor, tmp_path_factory) -> Path:
    """`nano-untrained` as a model folder; not to be changed."""
    folder = tmp_path_factory.mktemp("nano")
    nano.save_pretrained(folder)
    nano_processor.save_pretrained(folder)
    return folder
