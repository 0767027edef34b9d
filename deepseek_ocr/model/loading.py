"""A model and its processor from a folder, a Hub id or a preset's name, checked before it is read.

Safetensors only: no pickle, no remote code. Every name and shape is compared with `config.json`
from the files' headers, before any weight is read.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import GenerationConfig
from transformers.utils import logging as transformers_logging

from ..errors import UserError
from ..files import sha256_of
from .configuration import DeepseekOcrConfig
from .late_imports import import_peft
from .modeling import DeepseekOcrForConditionalGeneration
from .presets import NANO_FOLDER, PRESETS, UNTRAINED, untrained
from .processing import DeepseekOcrProcessor
from .weight_reading import published_tensors, read_weights, stored_dtype

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
BASE_MODEL = "base_model.json"
"""Beside an adapter: the base model's path or name, and the SHA-256 of its weight files."""

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
IGNORED_NAMES = ("model.vision_model.embeddings.position_ids",)
"""A buffer of the released code that some saved folders hold and nobody reads."""

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_model(
    source: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    adapter: str | Path | None = None,
    seed: int = 42,
) -> tuple[Any, DeepseekOcrProcessor]:
    """The model in eval mode on its device, and its processor.

    Args:
        source: folder in the published layout, LoRA folder written by training, Hub id or preset.
        device: auto (CUDA, then MPS, then CPU), or as torch names it.
        dtype: float32, bfloat16, float16; auto is what the weights are stored in.
        adapter: PEFT adapter to put on top.
        seed: of the random weights of the untrained presets.

    Raises:
        UserError: whatever cannot be used, with the file and what to do.
    """
    if dtype not in ("auto", *DTYPES):
        raise UserError(f"unknown dtype {dtype!r}; known: auto, {', '.join(DTYPES)}")
    wanted = DTYPES.get(dtype)
    target = pick_device(device)
    if str(source) in UNTRAINED:
        model: Any
        model, processor = untrained(str(source), dtype=wanted or torch.float32, seed=seed)
    else:
        folder = model_folder(source)
        if (folder / ADAPTER_CONFIG).exists():
            if adapter is not None:
                raise UserError(
                    f"{folder}: is an adapter itself; give its base model and one adapter"
                )
            base, base_seed = adapter_base(folder, seed)
            return load_model(base, device=device, dtype=dtype, adapter=folder, seed=base_seed)
        model, processor = load_folder(folder, wanted)
    if adapter is not None:
        folder = model_folder(adapter)
        model = put_adapter(model, folder, base=str(source))
        if (folder / "tokenizer.json").exists():  # views and prompt as the adapter was trained
            processor = read_processor(folder)
    return model.to(target).eval(), processor


def pick_device(name: str) -> torch.device:
    """`auto` or a torch device name -> a device that exists here."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(
            f"unknown device {name!r}; expected auto, cpu, cuda, cuda:1 or mps"
        ) from None
    here = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    missing_card = device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    if missing_card or not here.get(device.type, False):
        raise UserError(f"device {name!r} is not available on this machine; try --device auto")
    return device


def model_folder(source: str | Path) -> Path:
    """The local folder of a model: a preset's, the named one, or a download (safetensors only)."""
    name = str(source)
    if not name:
        raise UserError("the model's name is empty; expected a model folder, a Hub id or a preset")
    if name == "nano":
        if not (NANO_FOLDER / WEIGHTS).exists():
            raise UserError(
                "the trained model 'nano' is not part of this version; use nano-untrained, "
                "or a folder"
            )
        return NANO_FOLDER
    if name in PRESETS:
        raise UserError(f"the preset {name!r} has no folder; it is made with random weights")
    path = Path(source)
    if path.is_dir():
        return path
    if path.exists():
        raise UserError(f"{path}: is a file; expected a model folder with config.json and weights")
    if HUB_ID.fullmatch(name):
        return _download(name)
    raise UserError(
        f"{path}: no such folder; expected a model folder, a Hub id such as "
        f"deepseek-ai/DeepSeek-OCR, or one of {', '.join(UNTRAINED)}"
    )


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise UserError(
            f"{name}: neither a folder here nor a model that could be downloaded from the Hub "
            f"({type(error).__name__})"
        ) from None


def load_folder(
    folder: Path, dtype: torch.dtype | None = None
) -> tuple[DeepseekOcrForConditionalGeneration, DeepseekOcrProcessor]:
    """Model and processor from a folder in the published layout, every name and shape checked."""
    config = read_config(folder)
    check_weights(folder, config)
    processor = read_processor(folder)
    if processor.image_id != config.image_token_id:
        raise UserError(
            f"{folder}: tokenizer.json has <image> at {processor.image_id}, config.json has "
            f"image_token_id {config.image_token_id}; they belong to different models"
        )
    largest = max(processor.tokenizer.get_vocab().values())
    if largest >= config.vocab_size:
        raise UserError(
            f"{folder}: tokenizer.json has ids up to {largest}, config.json a vocabulary of "
            f"{config.vocab_size}; they belong to different models"
        )
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()  # bars are for terminals
    return read_model(folder, config, dtype), processor


def read_model(
    folder: Path, config: DeepseekOcrConfig, dtype: torch.dtype | None
) -> DeepseekOcrForConditionalGeneration:
    """What `from_pretrained` makes of a checked folder, with half its memory at the peak."""
    files = weight_files(folder)
    config.name_or_path = str(folder)
    dtype = dtype or config.dtype or stored_dtype(files)
    for part in (config, *(getattr(config, name) for name in config.sub_configs)):
        part.dtype = dtype
    with torch.device("meta"):
        model = DeepseekOcrForConditionalGeneration(config)
    model = model.to(dtype).to_empty(device="cpu")
    read_weights(model, files)
    with contextlib.suppress(OSError):  # the file need not be there
        model.generation_config = GenerationConfig.from_pretrained(folder)
    return model.eval()


def read_processor(folder: Path) -> DeepseekOcrProcessor:
    """Tokenizer, image settings and prompt of a model folder.

    Raises:
        UserError: a file is missing or cannot be used.
    """
    try:
        return DeepseekOcrProcessor.from_pretrained(folder)
    except (ValueError, TypeError, OSError) as error:
        raise UserError(f"{folder}: the processor cannot be used: {error}") from None


def read_config(folder: Path) -> DeepseekOcrConfig:
    """`config.json` of a model folder.

    Raises:
        UserError: it is missing, not JSON, of another model, or asks for what is not supported.
    """
    path = folder / "config.json"
    if not path.exists():
        found = ", ".join(sorted(p.name for p in folder.iterdir())[:5]) or "nothing"
        raise UserError(f"{folder}: no config.json (found {found}); expected a model folder")
    content = _read_json(path)
    if content.get("model_type") not in ("deepseek_vl_v2", "deepseek_ocr"):
        raise UserError(
            f"{path}: model_type is {content.get('model_type')!r}; "
            f"expected 'deepseek_vl_v2' (DeepSeek-OCR)"
        )
    try:
        return DeepseekOcrConfig(**content)
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{folder}: {error}") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not valid JSON") from None
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{path}: cannot be read as UTF-8 text") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}:1: expected a JSON object")
    return content


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder: those of the index, or the only one.

    Raises:
        UserError: there is none (only pickles, perhaps), or the index names a missing file.
    """
    if (folder / WEIGHTS).is_file():  # transformers reads it even beside an index
        return [folder / WEIGHTS]
    index = folder / INDEX
    if index.exists():
        weight_map = _read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise UserError(f"{index}: has no weight_map; expected the names of the weight files")
        names = sorted(set(map(str, weight_map.values())))
        for name in names:
            if Path(name).name != name or not (folder / name).is_file():
                raise UserError(f"{index}: names {name}, which is not in the folder")
        return [folder / name for name in names]
    if pickles := [p.name for p in sorted(folder.iterdir()) if p.suffix in PICKLES]:
        raise UserError(
            f"{folder / pickles[0]}: a pickle, which can run code when read and is never loaded; "
            f"convert it to {WEIGHTS}"
        )
    raise UserError(f"{folder}: no weights; expected {WEIGHTS} or {INDEX} with its files")


def stored_shapes(files: list[Path]) -> Iterator[tuple[str, tuple[int, ...], Path]]:
    """Name, shape and file of every stored tensor, from the headers alone.

    Raises:
        UserError: a file is truncated or is not safetensors.
    """
    for path in files:
        try:
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118  safe_open is no mapping
                    yield name, tuple(file.get_slice(name).get_shape()), path
        except (SafetensorError, OSError):
            raise UserError(
                f"{path}: not a whole safetensors file (damaged, truncated, or another format); "
                f"copy or download it again"
            ) from None


def expected_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Published name -> shape of every tensor on disk; experts one by one."""
    return {name: tuple(tensor.shape) for name, tensor in published_tensors(model)}


def check_weights(folder: Path, config: DeepseekOcrConfig) -> None:
    """Compare names and shapes on disk with those that `config` asks for.

    Raises:
        UserError: names the first tensor that is missing, unexpected or of another shape.
    """
    with torch.device("meta"):
        expected = expected_shapes(DeepseekOcrForConditionalGeneration(config))
    files = weight_files(folder)
    found: set[str] = set()
    for name, shape, path in stored_shapes(files):
        if name in IGNORED_NAMES:
            continue
        if name in found:
            raise UserError(f"{path}: holds {name}, which is stored twice; keep one of the files")
        if name not in expected:
            raise UserError(f"{path}: holds {name}, which config.json does not have")
        if shape != expected[name]:
            raise UserError(
                f"{path}: {name} has shape {shape}, config.json asks for {expected[name]}"
            )
        found.add(name)
    if missing := [name for name in expected if name not in found]:
        raise UserError(
            f"{folder}: {len(missing)} tensors are missing from "
            f"{', '.join(p.name for p in files)}, the first is {missing[0]}"
        )


def base_model_record(source: str | Path) -> dict[str, Any]:
    """What an adapter remembers of its base: name or absolute path, SHA-256 of its weights."""
    if str(source) in UNTRAINED:
        return {"base_model": str(source), "sha256": {}}
    folder = model_folder(source)
    path = str(source) if str(source) in PRESETS else str(folder.resolve())
    return {"base_model": path, "sha256": {p.name: sha256_of(p) for p in weight_files(folder)}}


def adapter_base(folder: Path, seed: int) -> tuple[str, int]:
    """The base model that a LoRA folder written by training names, and the seed of its weights."""
    record = _read_json(folder / BASE_MODEL) if (folder / BASE_MODEL).exists() else {}
    base = record.get("base_model")
    if not isinstance(base, str) or not base:
        raise UserError(
            f"{folder}: an adapter without {BASE_MODEL}; give the base as --model_path and this "
            f"folder as --adapter"
        )
    if (Path(base) / ADAPTER_CONFIG).exists():
        raise UserError(f"{folder}: its base {base} is an adapter itself; merge that one first")
    return base, record.get("seed", seed)


def put_adapter(model: nn.Module, folder: Path, base: str) -> nn.Module:
    """The model with a PEFT adapter on top, after checking that it was made for this base."""
    if not (folder / ADAPTER_CONFIG).exists():
        raise UserError(f"{folder}: no {ADAPTER_CONFIG}; expected a PEFT adapter")
    if not (folder / ADAPTER_WEIGHTS).exists():
        raise UserError(f"{folder}: no {ADAPTER_WEIGHTS}; other formats are never loaded")
    record = folder / BASE_MODEL
    if record.exists():
        expected = _read_json(record).get("sha256", {})
        if expected and expected != base_model_record(base)["sha256"]:
            raise UserError(
                f"{folder}: was trained on other weights than {base} ({BASE_MODEL} has their "
                f"SHA-256); name the model it was trained on"
            )
    stored = {name for name, _, _ in stored_shapes([folder / ADAPTER_WEIGHTS])}
    try:
        with quiet_peft(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*missing adapter keys.*")  # checked below
            peft = import_peft()
            adapted = peft.PeftModel.from_pretrained(model, folder)
    except (ValueError, TypeError, AttributeError, RuntimeError, KeyError) as error:
        raise UserError(f"{folder}: the adapter does not fit this model ({error})") from None
    fitting = peft.get_peft_model_state_dict(adapted, save_embedding_layers=False).keys()
    if different := sorted(stored ^ fitting):
        raise UserError(
            f"{folder / ADAPTER_WEIGHTS}: does not fit {ADAPTER_CONFIG} and this model; "
            f"{len(different)} tensors are missing or unknown, the first is {different[0]}"
        )
    return adapted


@contextlib.contextmanager
def quiet_peft() -> Iterator[None]:
    """PEFT uses a name that transformers is about to change: no news for our users."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*")
        yield
