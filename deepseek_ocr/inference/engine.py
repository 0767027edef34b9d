"""The one way that pages are answered: batches of pictures and prompts, greedy, with a cache."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import StoppingCriteriaList

from ..errors import UsageError
from ..model.generation import LOOP_TOKENS, StopFull, StopLoops, loop_unit
from ..model.loading import load_model
from ..model.processing import DeepseekOcrProcessor
from ..model.resolution import view_settings
from .results import PageResult

Request = tuple[Sequence[Image.Image], str]
"""The pictures of one row, and its prompt with one `<image>` for each."""


class OcrEngine:
    """A loaded model that answers prompts about pictures.

    Args:
        model: a `DeepseekOcrForConditionalGeneration`, perhaps under a PEFT adapter, in eval mode.
        mode, sizes: how pages are seen; default is what the processor remembers.
    """

    def __init__(
        self,
        model: Any,
        processor: DeepseekOcrProcessor,
        *,
        mode: str | None = None,
        **sizes: int | None,
    ):
        self.model, self.processor = model, processor
        self.mode, self.sizes = mode, dict(sizes)
        self.max_positions = model.config.text_config.max_position_embeddings

    @property
    def prompt(self) -> str | None:
        """The prompt that the model was trained on, where its folder says so."""
        return self.processor.prompt

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return self.model.device

    def generate(self, rows: Sequence[Request], *, max_new_tokens: int) -> list[PageResult]:
        """One forward pass and greedy decoding for a batch of rows, in their order.

        A row whose prompt and pictures leave no position for an answer is `failed`.
        """
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
        if not rows:
            return []
        began = time.perf_counter()
        images = [picture for pictures, _ in rows for picture in pictures]
        prompts = [prompt for _, prompt in rows]
        inputs = self.processor(images=images, text=prompts, mode=self.mode, **self.sizes)  # type: ignore[arg-type]
        lengths = inputs["attention_mask"].sum(1).tolist()
        budgets = [min(max_new_tokens, self.max_positions - length) for length in lengths]
        if min(budgets) < 1:
            return self._one_by_one(rows, lengths, max_new_tokens)
        answers = self._decode(inputs, budgets)
        seconds = (time.perf_counter() - began) / len(rows)
        image_tokens = (inputs["input_ids"] == self.processor.image_id).sum(1).tolist()
        return [
            self._result(answer[:budget], prompt, budget, tokens, seconds)
            for answer, prompt, budget, tokens in zip(
                answers, prompts, budgets, image_tokens, strict=True
            )
        ]

    def _one_by_one(
        self, rows: Sequence[Request], lengths: list[int], max_new_tokens: int
    ) -> list[PageResult]:
        """Rows of a batch whose longest prompt fills the model: only that one fails."""
        results = []
        for row, length in zip(rows, lengths, strict=True):
            if length < self.max_positions:
                results += self.generate([row], max_new_tokens=max_new_tokens)
            else:
                reason = (
                    f"prompt and pictures take {length} positions, the model has "
                    f"{self.max_positions}; use a smaller mode or fewer pictures"
                )
                results.append(PageResult(text="", status="failed", prompt=row[1], reason=reason))
        return results

    @torch.no_grad()  # not inference mode: what FSDP gathers in it could never train again
    def _decode(self, inputs: Any, budgets: Sequence[int]) -> Tensor:
        """Model inputs -> (B, up to the largest budget) generated ids on the CPU."""
        length = inputs["input_ids"].shape[1]
        output = self.model.generate(
            **{name: value.to(self.model.device) for name, value in inputs.items()},
            do_sample=False,
            max_new_tokens=max(budgets),
            eos_token_id=self.processor.eos_id,
            pad_token_id=self.processor.pad_id,
            stopping_criteria=StoppingCriteriaList([StopLoops(length), StopFull(length, budgets)]),
        )
        return output[:, length:].cpu()

    def _result(
        self, answer: Tensor, prompt: str, budget: int, image_tokens: int, seconds: float
    ) -> PageResult:
        ids = answer.tolist()
        ended = self.processor.eos_id in ids
        if ended:
            ids = ids[: ids.index(self.processor.eos_id)]
        while ids and ids[-1] == self.processor.pad_id:  # a row that stopped before its batch-mates
            ids.pop()
        text = self.processor.decode(ids)
        status, reason = "ok", ""
        if not ended and (unit := loop_unit(ids)) is not None:
            status = "repetition"
            reason = f"the last {LOOP_TOKENS} tokens repeat a unit of {unit}"
        elif not ended:
            status, reason = "truncated", f"no end within {budget} tokens"
        elif not text.strip():
            status = "empty"
        return PageResult(
            text=text,
            status=status,  # type: ignore[arg-type]
            prompt=prompt,
            reason=reason,
            num_tokens=len(ids),
            num_image_tokens=image_tokens,
            seconds=seconds,
        )


def load_engine(
    model_path: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    adapter: str | Path | None = None,
    mode: str | None = None,
    tile_size: int | None = None,
    base_size: int | None = None,
    max_tiles: int | None = None,
    seed: int = 42,
) -> OcrEngine:
    """An engine for a model folder, Hub id or preset; see `model.loading.load_model`.

    Raises:
        UsageError: the mode or a size is not one.
        UserError: the model or the adapter cannot be used.
    """
    sizes = {"tile_size": tile_size, "base_size": base_size, "max_tiles": max_tiles}
    try:
        view_settings(mode or "gundam", **sizes)
    except ValueError as error:
        raise UsageError(str(error)) from None
    model, processor = load_model(
        model_path, device=device, dtype=dtype, adapter=adapter, seed=seed
    )
    return OcrEngine(model, processor, mode=mode, **sizes)
