"""After `import deepseek_ocr`, transformers' Auto classes know the model, whichever comes first."""

from __future__ import annotations

import subprocess
import sys

import pytest

import deepseek_ocr
from tests.conftest import REPOSITORY

FIRST = {
    "ours first": "import deepseek_ocr",
    "theirs first": "from transformers import AutoConfig, AutoProcessor; import deepseek_ocr",
}
CHECK = """
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoProcessor
config = AutoConfig.for_model("deepseek_vl_v2")
assert type(config).__module__ == "deepseek_ocr.model.configuration", type(config)
assert type(AutoConfig.for_model("deepseek_ocr")) is type(config)
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, MODEL_MAPPING
assert PROCESSOR_MAPPING[type(config)].__name__ == "DeepseekOcrProcessor"
assert MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)].__name__ == "DeepseekOcrForConditionalGeneration"
assert MODEL_MAPPING[type(config)].__name__ == "DeepseekOcrModel"
import deepseek_ocr
assert deepseek_ocr.DeepseekOcrConfig is type(config)
"""


def python(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("order", FIRST)
def test_auto_classes_know_the_model_whatever_is_imported_first(order):
    python(FIRST[order] + "\n" + CHECK)


def test_a_single_auto_class_is_enough():
    """`from transformers import AutoProcessor` alone loads the Auto modules one by one."""
    python("""
import deepseek_ocr, importlib, sys
before = len(sys.meta_path)
importlib.reload(deepseek_ocr)
assert len(sys.meta_path) == before
from transformers import AutoProcessor
from deepseek_ocr.model.presets import NANO_FOLDER
processor = AutoProcessor.from_pretrained(NANO_FOLDER)
assert type(processor) is deepseek_ocr.DeepseekOcrProcessor, type(processor)
for name in deepseek_ocr.__all__:
    assert getattr(deepseek_ocr, name) is not None, name
assert deepseek_ocr.load.__module__ == "deepseek_ocr.reading.reader"
""")


def test_a_name_that_the_package_does_not_have_is_an_attribute_error():
    assert set(deepseek_ocr.__all__) == set(dir(deepseek_ocr))
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        getattr(deepseek_ocr, "no_such_" + "name")
