"""How many positions a row takes in a model: from the model folder's JSON files alone.

Nothing of the network is loaded: the tokenizer is read by the `tokenizers` library. The rule is
that of `DeepseekOcrProcessor.encode`, and a test holds the two together: ids = beginning + prompt
(stripped, tokenised between its pictures) + answer + end.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UsageError, UserError
from ...resolution import ViewSettings, num_image_tokens, tile_grid, view_settings
from ..annotations import IMAGE_TOKEN

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHARACTERS_A_TOKEN = 2.5
"""Without a model. Measured with the published tokenizer: receipts 2.0, LaTeX 2.2, old German
prints 2.7, English prose 3.1; Chinese 1.5."""

PRESETS = {"nano": "nano", "nano-untrained": "nano", "base-untrained": "nano"}
"""Name -> the folder of its tokenizer in the package."""
PRESETS_FOLDER = Path(__file__).resolve().parents[2] / "presets"
PUBLISHED_POSITIONS = 8192

TOKENIZER, CONFIG, VIEWS = "tokenizer.json", "config.json", "preprocessor_config.json"
BASE_MODEL = "base_model.json"
SIZES = ("base_size", "tile_size", "max_tiles")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LengthRule:
    """Counts what rows take: pages by the sizes of `views`, texts by `tokenizer`.

    `tokenizer` None: texts are estimated. `max_positions` is what the model has room for, None
    where that is not known.
    """

    views: ViewSettings
    tokenizer: Tokenizer | None = None
    max_positions: int | None = None

    @property
    def is_estimate(self) -> bool:
        """Whether tokens of texts are estimated."""
        return self.tokenizer is None

    def page_cost(self, width: int, height: int) -> tuple[int, int]:
        """Tiles (0: only the overview) and image tokens of a page of so many pixels."""
        return _page_cost(width, height, self.views)

    def answer_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without beginning and end."""
        if self.tokenizer is None:
            return [math.ceil(len(text) / CHARACTERS_A_TOKEN) for text in texts]
        encoded = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(text.ids) for text in encoded]

    def prompt_tokens(self, prompt: str) -> int:
        """Tokens of a prompt without its pictures."""
        pieces = prompt.strip().split(IMAGE_TOKEN)
        return sum(self.answer_tokens([piece for piece in pieces if piece]))

    def other_tokens(self, prompt: str) -> int:
        """Positions of the prompt without its pictures, and of beginning and end."""
        return self.prompt_tokens(prompt) + 2


@functools.lru_cache(maxsize=1 << 16)
def _page_cost(width: int, height: int, views: ViewSettings) -> tuple[int, int]:
    grid = tile_grid(width, height, views)
    return (0 if grid == (1, 1) else math.prod(grid)), num_image_tokens(grid, views)


def length_rule(
    source: str | None = None, *, mode: str | None = None, **sizes: int | None
) -> LengthRule:
    """The rule of a model folder, Hub id or preset; without one, estimates in a mode's views.

    Args:
        source: as `--model_path`; of a Hub id only the JSON files are downloaded.
        mode, base_size, tile_size, max_tiles: in place of the model's own (gundam without one).

    Raises:
        UserError: the folder lacks a file or has one that cannot be used; or wrong sizes.
    """
    if source is None:
        return LengthRule(views=_views({}, mode, sizes))
    folder = _folder_of(source)
    views = {"mode": "gundam"} if source == "base-untrained" else _read_json(folder / VIEWS)
    return LengthRule(
        views=_views(views, mode, sizes),
        tokenizer=_read_tokenizer(folder),
        max_positions=PUBLISHED_POSITIONS if source == "base-untrained" else _positions(folder),
    )


def _views(own: dict[str, Any], mode: str | None, sizes: dict[str, int | None]) -> ViewSettings:
    """A mode that is named brings its own sizes along, but for the number of tiles."""
    own_mode = own.get("mode") or "gundam"
    kept = SIZES if mode in (None, own_mode) else ("max_tiles",)
    chosen = {name: own.get(name) for name in kept}
    chosen |= {name: size for name, size in sizes.items() if size is not None}
    try:
        return view_settings(mode or own_mode, **chosen)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from None


def _folder_of(source: str) -> Path:
    if source in PRESETS:
        return PRESETS_FOLDER / PRESETS[source]
    path = Path(source)
    if path.is_dir():
        return path
    if path.exists() or source.count("/") != 1:
        found = "is a file" if path.exists() else "no such folder"
        raise UserError(
            f"{source}: {found}; expected a model folder, a Hub id such as "
            f"deepseek-ai/DeepSeek-OCR, or one of {', '.join(PRESETS)}"
        )
    return _download(source)


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise UserError(
            f"{name}: neither a folder here nor a model that could be downloaded from the Hub "
            f"({type(error).__name__})"
        ) from None


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a model folder; empty where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{path}: cannot be read as UTF-8 text") from None
    except ValueError:
        raise UserError(f"{path}: not valid JSON; expected a file of a model folder") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}:1: expected a JSON object")
    return content


def _positions(folder: Path) -> int:
    """The decoder's positions; those of the base model, for an adapter's folder."""
    content = _read_json(folder / CONFIG)
    if not content and (base := _read_json(folder / BASE_MODEL).get("base_model")):
        if base == "base-untrained":
            return PUBLISHED_POSITIONS
        content = _read_json(_folder_of(str(base)) / CONFIG)
    decoder = content.get("language_config") or content.get("text_config") or content
    positions = decoder.get("max_position_embeddings") if isinstance(decoder, dict) else None
    positions = positions or content.get("max_position_embeddings")
    if not isinstance(positions, int) or positions < 1:
        raise UserError(
            f"{folder / CONFIG}: no max_position_embeddings; expected the config.json of a model"
        )
    return positions


def _read_tokenizer(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    path = folder / TOKENIZER
    if not path.is_file():
        raise UserError(f"{folder}: no {TOKENIZER}; expected a model folder")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001  tokenizers raises nothing narrower
        raise UserError(f"{path}: is no tokenizer ({error})") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
