"""What is known of a model from its small files alone: sizes, views, prompt. No weight is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...model.configuration import DeepseekOcrConfig
from ...model.loading import (
    ADAPTER_CONFIG,
    adapter_base,
    check_weights,
    model_folder,
    read_config,
    read_processor,
    weight_files,
)
from ...model.presets import NANO_FOLDER, UNTRAINED, published_processor
from ...model.processing import DeepseekOcrProcessor
from .activations import FLOAT32
from .parameter_counts import empty_model


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """`stored` is the bytes of a weight, `base` the model below an adapter, if it is one."""

    name: str
    config: DeepseekOcrConfig
    processor: DeepseekOcrProcessor
    network: Any
    stored: int
    base: str | None = None

    @property
    def num_parameters(self) -> int:
        """Of the model, without an adapter."""
        return sum(p.numel() for p in self.network.parameters())


def read_facts(source: str) -> ModelFacts:
    """Of a model folder, adapter folder, Hub id or preset; names and shapes are checked.

    Raises:
        UserError: whatever cannot be used, with the file and what to do.
    """
    if source in UNTRAINED:
        nano = source == "nano-untrained"
        config = read_config(NANO_FOLDER) if nano else DeepseekOcrConfig()
        processor = read_processor(NANO_FOLDER) if nano else published_processor()
        return ModelFacts(
            name=source,
            config=config,
            processor=processor,
            network=empty_model(config),
            stored=FLOAT32,
        )
    folder = model_folder(source)
    if (folder / ADAPTER_CONFIG).exists():
        return _of_adapter(source, folder)
    config = read_config(folder)
    check_weights(folder, config)
    network = empty_model(config)
    on_disk = sum(path.stat().st_size for path in weight_files(folder))
    return ModelFacts(
        name=source,
        config=config,
        processor=read_processor(folder),
        network=network,
        stored=max(1, round(on_disk / sum(p.numel() for p in network.parameters()))),
    )


def _of_adapter(source: str, folder: Path) -> ModelFacts:
    base, _ = adapter_base(folder, 0)
    facts = read_facts(base)
    own = read_processor(folder) if (folder / "tokenizer.json").exists() else facts.processor
    return ModelFacts(
        name=source,
        config=facts.config,
        processor=own,
        network=facts.network,
        stored=facts.stored,
        base=base,
    )


def facts_of_weights(source: str) -> tuple[Any, int]:
    """The network of a model (without an adapter) on the meta device, and the bytes of a weight."""
    facts = read_facts(source)
    return facts.network, facts.stored
