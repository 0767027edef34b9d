"""Pictures, prompt and answer to the model's inputs, and ids back to text.

One function makes ids, views and labels, for training, testing and reading alike. Template "plain"
(`conversation.py:227`): ids = BOS + prompt + answer + EOS; the prompt is stripped, pictures stand
where `<image>` stands, nothing else is added.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PreTrainedTokenizerFast, ProcessorMixin
from transformers.image_processing_base import BatchFeature
from transformers.utils import cached_file

from .image_processing import DeepseekOcrImageProcessor
from .labels import IGNORE
from .resolution import ViewSettings, num_image_tokens

BOS, EOS, PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"
IMAGE = "<image>"
SIZES = ("base_size", "tile_size", "max_tiles")
FORBIDDEN_IN_ANSWERS = (IMAGE, BOS, EOS)
"""What an answer may not hold: it would be taken for a picture, or for the answer's end."""

PROMPTS = {
    "markdown": "<image>\n<|grounding|>Convert the document to markdown.",
    "ocr": "<image>\n<|grounding|>OCR this image.",
    "text": "<image>\nFree OCR.",
    "figure": "<image>\nParse the figure.",
    "describe": "<image>\nDescribe this image in detail.",
    "locate": "<image>\nLocate <|ref|>{text}<|/ref|> in the image.",
}
"""The six published prompts (README of the released code)."""

TOKENIZER_CONFIG: dict[str, Any] = {
    "add_bos_token": True,
    "add_eos_token": False,
    "additional_special_tokens": ["<|User|>", "<|Assistant|>"],
    "bos_token": BOS,
    "clean_up_tokenization_spaces": False,
    "eos_token": EOS,
    "model_max_length": 8192,
    "pad_token": PAD,
    "tokenizer_class": "PreTrainedTokenizerFast",
}


@dataclass(frozen=True)
class Row:
    """One sample as ids; `labels` are as long, -100 where nothing is learned; None: no answer."""

    ids: list[int]
    labels: list[int] | None


class DeepseekOcrProcessor(ProcessorMixin):
    """Image processor and tokenizer together; remembers the prompt that the model was trained on.

    `processor(images=[...], text=[...])` for reading, with `answers=[...]` for training. Further
    keys of a published `processor_config.json` (`**published`) are kept and written back.
    """

    image_processor: DeepseekOcrImageProcessor
    tokenizer: PreTrainedTokenizerFast

    def __init__(
        self,
        image_processor: DeepseekOcrImageProcessor,
        tokenizer: PreTrainedTokenizerFast,
        prompt: str | None = None,
        **published: Any,
    ):
        super().__init__(image_processor, tokenizer)
        if not isinstance(prompt, str | None):
            raise ValueError(f"processor_config.json: prompt is {prompt!r}; expected a text")
        self.prompt = prompt
        self.published = {"processor_class": type(self).__name__, **published}
        ids = {
            token: tokenizer.convert_tokens_to_ids(token) for token in (*FORBIDDEN_IN_ANSWERS, PAD)
        }
        if missing := [token for token, index in ids.items() if index is None]:
            raise ValueError(f"tokenizer.json lacks the special tokens {', '.join(missing)}")
        self.bos_id, self.eos_id, self.pad_id = ids[BOS], ids[EOS], ids[PAD]
        self.image_id = ids[IMAGE]

    @property
    def model_input_names(self) -> list[str]:
        """Names of what `__call__` returns for reading."""
        return ["input_ids", "attention_mask", "pixel_values", "tile_values", "tile_grids"]

    def __call__(  # type: ignore[override]
        self,
        images: Sequence[Any] | Image.Image | None = None,
        text: Sequence[str] | str | None = None,
        mode: str | None = None,
        answers: Sequence[str] | str | None = None,
        *,
        return_tensors: str | None = "pt",
        padding: bool | str = True,
        **sizes: int | None,
    ) -> BatchFeature:
        """Prompts with their pictures -> the model's inputs.

        Args:
            images: the pictures of all prompts in order (or a list of pictures for each prompt).
            text: one prompt a row, with one `<image>` for each of its pictures.
            mode, base_size, tile_size, max_tiles: in place of the image processor's own.
            return_tensors, padding: as `transformers` spells what is always done; anything else
                is refused.
            answers: true answers; then `labels` are made, and padding is on the right.

        Returns:
            `input_ids`, `attention_mask` (B, N); `pixel_values`, `tile_values`, `tile_grids` as the
            image processor makes them; `labels` (B, N) with answers.

        Raises:
            ValueError: pictures and `<image>` marks differ in number, an answer holds `<image>`,
                BOS or EOS, or there are not as many answers as prompts.
        """
        prompts = [text] if isinstance(text, str) else list(text or [])
        truths = [answers] if isinstance(answers, str) else answers
        if not prompts:
            raise ValueError("give at least one prompt as text")
        if truths is not None and len(truths) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts and {len(truths)} answers; expected one each")
        if padding not in (True, "longest"):
            raise ValueError(f"padding is {padding!r}; rows are always padded to the longest")
        check_nesting(images, prompts)
        settings = self.image_processor.settings(mode, **sizes)
        views = self.image_processor(flat(images), mode, return_tensors=return_tensors, **sizes)
        counts = [num_image_tokens((c, r), settings) for c, r in views["tile_grids"].tolist()]
        marks = [prompt.count(IMAGE) for prompt in prompts]
        if sum(marks) != len(counts):
            raise ValueError(
                f"the prompts have {sum(marks)} {IMAGE} marks and {len(counts)} pictures are "
                f"given; expected one mark a picture"
            )
        remaining = iter(counts)
        rows = [
            self.encode(
                prompt,
                [next(remaining) for _ in range(prompt.count(IMAGE))],
                None if truths is None else truths[index],
            )
            for index, prompt in enumerate(prompts)
        ]
        return BatchFeature({**self.pad(rows), **views})

    def encode(self, prompt: str, image_tokens: Sequence[int], answer: str | None = None) -> Row:
        """One prompt as ids, `image_tokens[i]` placeholders for its i-th `<image>`, and labels.

        The text between pictures is tokenised apart, and so is the answer, verbatim.
        """
        pieces = prompt.strip().split(IMAGE)
        if len(pieces) != len(image_tokens) + 1:
            raise ValueError(
                f"the prompt has {len(pieces) - 1} {IMAGE} marks for {len(image_tokens)} pictures"
            )
        ids = [self.bos_id, *self.tokenize(pieces[0])]
        for count, piece in zip(image_tokens, pieces[1:], strict=True):
            ids += [self.image_id] * count + self.tokenize(piece)
        if answer is None:
            return Row(ids, None)
        for token in FORBIDDEN_IN_ANSWERS:
            if token in answer:
                raise ValueError(
                    f"the answer holds the special token {token!r}; remove or replace it"
                )
        learned = [*self.tokenize(answer), self.eos_id]
        return Row(ids + learned, [IGNORE] * len(ids) + learned)

    def pad(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Rows of unlike length -> `input_ids`, `attention_mask` and, with answers, `labels`.

        Padded on the left for reading, so that all rows end together, on the right for training.
        """
        length = max(len(row.ids) for row in rows)
        learn = rows[0].labels is not None

        def filled(values: list[int], filler: int) -> list[int]:
            padding = [filler] * (length - len(values))
            return values + padding if learn else padding + values

        batch = {
            "input_ids": [filled(row.ids, self.pad_id) for row in rows],
            "attention_mask": [filled([1] * len(row.ids), 0) for row in rows],
        }
        if learn:
            batch["labels"] = [filled(row.labels or [], IGNORE) for row in rows]
        return {name: torch.tensor(values, dtype=torch.long) for name, values in batch.items()}

    def tokenize(self, text: str) -> list[int]:
        """Ids of a text, special tokens in it as tokens, none added."""
        return self.tokenizer.encode(text, add_special_tokens=False) if text else []

    def row_length(
        self,
        prompt: str,
        grids: Iterable[tuple[int, int]],
        settings: ViewSettings,
        answer: str | None = None,
    ) -> int:
        """Positions that a sample takes, without drawing its views."""
        return len(self.encode(prompt, [num_image_tokens(g, settings) for g in grids], answer).ids)

    def decode(self, ids: Sequence[int] | Tensor, **kwargs: Any) -> str:
        """Generated ids -> text, up to the end token; the other special tokens are kept."""
        values = [int(i) for i in ids]
        if self.eos_id in values:
            values = values[: values.index(self.eos_id)]
        while values and values[-1] == self.pad_id:
            values.pop()
        return self.tokenizer.decode(
            values, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )

    def batch_decode(self, rows: Sequence[Sequence[int]] | Tensor, **kwargs: Any) -> list[str]:
        """`decode` for each row."""
        return [self.decode(row) for row in rows]

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: str | Path, **kwargs: Any
    ) -> DeepseekOcrProcessor:
        """From a folder (or Hub id) as published or as written by `save_pretrained`.

        The tokenizer is read from `tokenizer.json` itself, whatever class its config names.
        """
        source = str(pretrained_model_name_or_path)
        sought: dict[str, Any] = {
            k: kwargs[k] for k in ("revision", "cache_dir", "token") if k in kwargs
        }
        tokenizer_json = read_json(source, "tokenizer.json", sought)
        if tokenizer_json is None:
            raise FileNotFoundError(
                f"{source}: no tokenizer.json; a model folder needs the published tokenizer files"
            )
        pictures = read_json(source, "preprocessor_config.json", sought) or {}
        pictures.pop("image_processor_type", None)
        pictures |= {k: kwargs[k] for k in ("mode", *SIZES) if k in kwargs}
        settings = read_json(source, "processor_config.json", sought) or {}
        for part in ("image_processor", "tokenizer"):  # other programs nest them here
            settings.pop(part, None)
        return cls(
            DeepseekOcrImageProcessor(**pictures),
            make_tokenizer(
                read_tokenizer(source, tokenizer_json),
                read_json(source, "tokenizer_config.json", sought),
            ),
            **settings,
        )

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> list[str]:  # type: ignore[override]
        """Write tokenizer, image settings and prompt, so that every loader finds its own file."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        image_settings = {
            "image_processor_type": type(self.image_processor).__name__,
            "image_mean": self.image_processor.image_mean,
            "image_std": self.image_processor.image_std,
        }
        for name in ("mode", "base_size", "tile_size", "max_tiles"):
            if (value := getattr(self.image_processor, name)) is not None:
                image_settings[name] = value
        settings = dict(self.published)
        if self.prompt is not None:
            settings["prompt"] = self.prompt
        files = {
            "tokenizer.json": json.loads(self.tokenizer.backend_tokenizer.to_str()),
            "tokenizer_config.json": self.tokenizer.published_config,  # type: ignore[attr-defined]
            "special_tokens_map.json": {"bos_token": BOS, "eos_token": EOS, "pad_token": PAD},
            "preprocessor_config.json": image_settings,
            "processor_config.json": settings,
        }
        for name, content in files.items():
            text = json.dumps(content, ensure_ascii=False, indent=2)
            (folder / name).write_text(text + "\n", encoding="utf-8")
        return [str(folder / name) for name in files]


def check_nesting(images: Any, prompts: Sequence[str]) -> None:
    """A list of pictures for each prompt must hold as many as that prompt has marks.

    Raises:
        ValueError: it does not; one flat list would be dealt out by the marks.
    """
    if not isinstance(images, list | tuple) or not images:
        return
    if not all(isinstance(entry, list | tuple) for entry in images):
        return
    counts, marks = [len(flat(entry)) for entry in images], [p.count(IMAGE) for p in prompts]
    if counts != marks:
        raise ValueError(f"the prompts have {marks} {IMAGE} marks for {counts} pictures")


def flat(images: Any) -> list[Any]:
    """None, a picture, a list, or a list of lists -> a list of pictures."""
    if images is None:
        return []
    if not isinstance(images, list | tuple):
        return [images]
    return [picture for entry in images for picture in flat(entry)]


def make_tokenizer(
    tokenizer: Tokenizer, config: dict[str, Any] | None = None
) -> PreTrainedTokenizerFast:
    """The `transformers` face of a `tokenizer.json`; `config` is kept and written back."""
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
    )
    wrapped.published_config = config or dict(TOKENIZER_CONFIG)
    return wrapped


def read_tokenizer(source: str, content: dict[str, Any]) -> Tokenizer:
    """The content of a `tokenizer.json` -> the tokenizer.

    Raises:
        ValueError: it describes none.
    """
    try:
        return Tokenizer.from_str(json.dumps(content))
    except Exception as error:  # noqa: BLE001  tokenizers raises nothing narrower
        raise ValueError(f"{source}: tokenizer.json is no tokenizer ({error})") from None


def read_json(source: str, name: str, sought: dict[str, Any]) -> dict[str, Any] | None:
    """One JSON file of a model folder or Hub id; None where there is none.

    Raises:
        ValueError: the file is not valid JSON, or not an object.
    """
    path = cached_file(source, name, _raise_exceptions_for_missing_entries=False, **sought)
    if path is None:
        return None
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", 1)
        raise ValueError(f"{path}:{line}: not valid JSON") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}:1: expected a JSON object")
    return content
