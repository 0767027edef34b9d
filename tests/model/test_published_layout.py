"""Names and shapes on disk are the published ones; what is written is what is read back."""

from __future__ import annotations

import copy
import gzip
import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForImageTextToText, AutoProcessor

from deepseek_ocr.model import (
    DeepseekOcrConfig,
    DeepseekOcrForConditionalGeneration,
    DeepseekOcrProcessor,
)
from deepseek_ocr.model.loading import expected_shapes, stored_shapes, weight_files
from deepseek_ocr.model.presets import untrained
from tests.conftest import FIXTURES, REPOSITORY, recorded, tiny_config

NUM_PARAMETERS = 3_336_106_240


def published_shapes() -> dict[str, tuple[int, ...]]:
    with gzip.open(FIXTURES / "published_keys.json.gz", "rt", encoding="utf-8") as file:
        return {name: tuple(shape) for name, shape in json.load(file).items()}


def on_disk(folder: Path) -> dict[str, tuple[int, ...]]:
    return {name: shape for name, shape, _ in stored_shapes(weight_files(folder))}


def stored(folder: Path, name: str) -> torch.Tensor:
    for path in weight_files(folder):
        with safe_open(path, "pt") as file:
            if name in file.keys():  # noqa: SIM118  safe_open is no mapping
                return file.get_tensor(name)
    raise KeyError(name)


def assert_same_weights(found: torch.nn.Module, expected: torch.nn.Module) -> None:
    theirs = expected.state_dict()
    assert found.state_dict().keys() == theirs.keys()
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name


def test_the_full_size_model_has_the_published_names_shapes_and_number_of_parameters():
    with torch.device("meta"):
        model = DeepseekOcrForConditionalGeneration(DeepseekOcrConfig())
    shapes = expected_shapes(model)
    assert len(shapes) == 2710
    assert shapes == published_shapes()
    assert sum(parameter.numel() for parameter in model.parameters()) == NUM_PARAMETERS


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(3)
    return DeepseekOcrForConditionalGeneration(copy.deepcopy(tiny_config())).eval()


def test_the_recorded_checkpoint_is_read_whole_and_written_with_the_same_names(
    tiny_folder, tmp_path
):
    model, report = DeepseekOcrForConditionalGeneration.from_pretrained(
        tiny_folder, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    model.save_pretrained(tmp_path)
    assert on_disk(tmp_path) == on_disk(tiny_folder) == expected_shapes(model)
    for name in on_disk(tmp_path):
        assert torch.equal(stored(tmp_path, name), stored(tiny_folder, name)), name
    assert json.loads((tmp_path / "config.json").read_text()) == model.config.to_dict()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shard", ["10GB", "200KB"])
def test_a_new_model_is_read_back_as_it_was_written(tiny, tmp_path, dtype, shard):
    model = DeepseekOcrForConditionalGeneration(copy.deepcopy(tiny_config())).to(dtype)
    model.load_state_dict(tiny.state_dict())
    model.save_pretrained(tmp_path, max_shard_size=shard)
    assert (len(weight_files(tmp_path)) > 1) == (shard == "200KB")
    assert on_disk(tmp_path) == expected_shapes(tiny)
    found, report = DeepseekOcrForConditionalGeneration.from_pretrained(
        tmp_path, dtype="auto", output_loading_info=True
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert found.dtype == dtype
    assert_same_weights(found, model)
    torch_dtype = json.loads((tmp_path / "config.json").read_text())["torch_dtype"]
    assert torch_dtype == str(dtype).removeprefix("torch.")


def test_experts_lie_on_disk_one_by_one_as_in_memory(tiny, tmp_path):
    tiny.save_pretrained(tmp_path)
    experts = tiny.model.layers[1].mlp.experts
    for index in range(len(experts.down_proj)):
        stem = f"model.layers.1.mlp.experts.{index}"
        gate, up = experts.gate_up_proj[index].chunk(2)
        assert torch.equal(stored(tmp_path, f"{stem}.gate_proj.weight"), gate)
        assert torch.equal(stored(tmp_path, f"{stem}.up_proj.weight"), up)
        assert torch.equal(stored(tmp_path, f"{stem}.down_proj.weight"), experts.down_proj[index])


def test_writing_again_after_reading_gives_the_same_bytes(nano_folder, tmp_path):
    model = DeepseekOcrForConditionalGeneration.from_pretrained(nano_folder, dtype="auto")
    model.save_pretrained(tmp_path)
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / name).read_bytes() == (nano_folder / name).read_bytes()


def test_a_config_made_from_scratch_is_written_as_published(tmp_path):
    DeepseekOcrConfig().save_pretrained(tmp_path)
    found = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert found == json.loads(recorded("published_config.json").read_text(encoding="utf-8"))


def test_the_auto_classes_load_a_model_folder(nano, nano_folder):
    found = AutoModelForImageTextToText.from_pretrained(nano_folder, dtype="auto")
    assert type(found) is DeepseekOcrForConditionalGeneration
    assert_same_weights(found, nano)
    processor = AutoProcessor.from_pretrained(nano_folder)
    assert type(processor) is DeepseekOcrProcessor
    assert processor.image_id == found.config.image_token_id


LOAD_AND_SAMPLE = textwrap.dedent(
    """
    import json, re, sys, threading
    from pathlib import Path

    def anonymous_bytes():
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"RssAnon:\\s+(\\d+) kB", status)[1]) * 1024

    from deepseek_ocr.model import DeepseekOcrForConditionalGeneration
    before = peak = anonymous_bytes()
    done = threading.Event()

    def sample():
        global peak
        while not done.wait(0.002):
            peak = max(peak, anonymous_bytes())

    thread = threading.Thread(target=sample)
    thread.start()
    model, report = DeepseekOcrForConditionalGeneration.from_pretrained(
        sys.argv[1], dtype="auto", output_loading_info=True
    )
    done.set()
    thread.join()
    peak = max(peak, anonymous_bytes())
    faults = {key: sorted(map(str, report[key])) for key in report if report[key]}
    model.save_pretrained(sys.argv[2], max_shard_size="2GB")
    print(json.dumps({"peak": peak, "before": before, "faults": faults}))
    """
)


@pytest.fixture
def roomy(tmp_path):
    """A folder that is emptied at once: pytest would keep the 13 GB of its last three runs."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.mark.proof
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RssAnon is Linux's")
def test_full_size_is_written_and_read_back_within_its_memory(roomy):
    """6.7 GB of weights, twice on disk; the second copy is written by the process that read."""
    first, second = roomy / "first", roomy / "second"
    model, _ = untrained("base-untrained", dtype=torch.bfloat16)
    model.save_pretrained(first, max_shard_size="2GB")
    del model
    assert on_disk(first) == published_shapes()
    config = json.loads((first / "config.json").read_text(encoding="utf-8"))
    assert config == json.loads(recorded("published_config.json").read_text(encoding="utf-8"))

    command = [sys.executable, "-c", LOAD_AND_SAMPLE, str(first), str(second)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout.splitlines()[-1])
    print(report)
    assert report["faults"] == {}
    assert report["peak"] < 1.2 * 2 * NUM_PARAMETERS

    assert on_disk(second) == published_shapes()
    for name in published_shapes():
        assert torch.equal(stored(first, name), stored(second, name)), name


def test_the_published_processor_config_is_understood_and_kept(nano_folder, tmp_path):
    published = {
        "processor_class": "DeepseekVLV2Processor",
        "sft_format": "deepseek",
        "downsample_ratio": 4,
    }
    folder = tmp_path / "published"
    shutil.copytree(nano_folder, folder)
    (folder / "processor_config.json").write_text(json.dumps(published))
    processor = AutoProcessor.from_pretrained(folder)
    assert isinstance(processor, DeepseekOcrProcessor)
    processor.prompt = "<image>\nRead."
    processor.save_pretrained(folder)
    saved = json.loads((folder / "processor_config.json").read_text())
    assert saved == published | {"prompt": "<image>\nRead."}
