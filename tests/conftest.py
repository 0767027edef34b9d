"""What tests share: where the recorded material is, and a tiny model with the recorded weights."""

from __future__ import annotations

import copy
import functools
import json
import os
from pathlib import Path

# One thread for each pytest process: several of them on few cores would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# no deadline: a busy machine is no failure; derandomized: the same examples for everyone
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"
FIXTURES = REPOSITORY / "tests" / "fixtures"


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """The cache of this process's tests; what is compiled is shared by those that run beside."""
    base = tmp_path_factory.getbasetemp()
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    compiled, cache = run / "native", base / "cache"
    compiled.mkdir(mode=0o700, exist_ok=True)
    cache.mkdir(exist_ok=True)
    (cache / "native").symlink_to(compiled)
    return cache


@pytest.fixture(autouse=True)
def _caches_of_their_own(cache, monkeypatch):
    """No test reads or writes the cache of whoever runs it."""
    monkeypatch.setenv("DEEPSEEK_OCR_CACHE", str(cache))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real documents and recorded outputs beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("needs the folder ../shared, which is not part of a clone")
    return SHARED


def recorded(name: str) -> Path:
    """A recorded file: the whole one of ../shared where it exists, else the clone's own part."""
    whole = SHARED / "golden" / name
    return whole if whole.exists() else FIXTURES / name


@functools.cache
def golden_tensors():
    """Tensors of the recorded run of the released code at tiny size, weights as `weights.NAME`."""
    import torch
    from safetensors.torch import load_file

    tensors = load_file(recorded("tiny.safetensors"))
    # used by nobody, and too large for the clone's own part
    tensors.setdefault(
        "weights.model.vision_model.embeddings.patch_embedding.weight", torch.zeros(64, 3, 14, 14)
    )
    return tensors


def tiny_config():
    """The recorded run's sizes as a `DeepseekOcrConfig`, a new one each time."""
    return copy.deepcopy(_tiny_config())


@functools.cache
def _tiny_config():
    from safetensors import safe_open

    from deepseek_ocr.model import DeepseekOcrConfig

    with safe_open(recorded("tiny.safetensors"), "pt") as file:
        metadata = file.metadata()
    sizes, text = json.loads(metadata["tiny"]), json.loads(metadata["config"])
    return DeepseekOcrConfig(
        sam_config={
            "hidden_size": sizes["sam_dim"],
            "num_hidden_layers": sizes["sam_depth"],
            "num_attention_heads": sizes["sam_heads"],
            "global_attn_indexes": sizes["sam_global"],
            "out_channels": sizes["sam_out"],
            "image_size": sizes["sam_img"],
            "downsample_channels": [64, 64],
        },
        clip_config={
            "hidden_size": sizes["clip_dim"],
            "num_hidden_layers": sizes["clip_layers"],
            "num_attention_heads": sizes["clip_heads"],
            "mlp_ratio": sizes["clip_ffn"] / sizes["clip_dim"],
        },
        text_config={
            key: text[key]
            for key in (
                "vocab_size", "max_position_embeddings", "hidden_size", "intermediate_size",
                "moe_intermediate_size", "num_hidden_layers", "num_attention_heads",
                "n_routed_experts", "num_experts_per_tok",
            )
        },
        image_token_id=int(metadata["image_token"]),
    )  # fmt: skip


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """The recorded weights as a model folder in the published layout (without a tokenizer)."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("published")
    weights = {
        name.removeprefix("weights."): tensor
        for name, tensor in golden_tensors().items()
        if name.startswith("weights.") and not name.endswith("position_ids")
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tiny_config().save_pretrained(folder)
    return folder
