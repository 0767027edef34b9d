"""A folder of drawn documents: pictures with JSON of the same name beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

from PIL import features

from ...errors import UsageError, UserError
from ...files import make_output_dir, replacing, write_atomic
from .fonts import BUNDLED, load_fonts
from .kinds import KINDS
from .pages import DEFAULT_SIZE, SyntheticPage, draw_page
from .seeds import stream
from .stream import check_kinds

LARGEST_SIZE = 10_000  # pixels a side
MANIFEST_NAME = ".synth.json"  # hidden, so that nobody takes it for an annotation


@dataclass(frozen=True, kw_only=True)
class SynthConfig:
    """What to draw; the same settings give the same bytes."""

    out: Annotated[Path, "folder to write to; empty, new, or holding only these files"] = field(
        metadata={"positional": True}
    )
    count: Annotated[int, "number of documents"] = 100
    seed: Annotated[int, "another seed, other documents"] = 0
    kind: Annotated[str, f"kinds of document, in turn: {','.join(KINDS)}"] = (
        "lines,letters,receipts,tables"
    )
    size: Annotated[int, "longer side of a full page in pixels"] = DEFAULT_SIZE
    max_characters: Annotated[int, "about how many characters a page may hold; 0: what fits"] = 0
    variety: Annotated[
        float, "share of documents in all fonts, sizes and papers; the others are plain print"
    ] = 1.0
    pages_per_document: Annotated[int, "pages of each document, as NAME_p1, NAME_p2"] = 1
    truth: Annotated[Literal["text", "markdown"], "what the annotations hold as text"] = "text"
    picture: Annotated[Literal["png", "jpeg"], "format of the pictures"] = "png"
    fonts: Annotated[str, "`bundled` (with matplotlib) or a folder of fonts"] = BUNDLED

    def __post_init__(self):
        for name, least in (("count", 1), ("pages_per_document", 1), ("max_characters", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.size > LARGEST_SIZE:
            raise UsageError(f"--size must be at most {LARGEST_SIZE}, got {self.size}")
        if not 0 <= self.variety <= 1:
            raise UsageError(f"--variety must be from 0 to 1, got {self.variety}")
        check_kinds(self.kinds, self.size)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds, one by one."""
        return tuple(name.strip() for name in self.kind.split(","))

    @property
    def num_pages(self) -> int:
        """Pages in all."""
        return self.count * self.pages_per_document

    def stems(self) -> Iterator[tuple[int, int, str]]:
        """Document number, page number and file stem of every page."""
        digits = max(5, len(str(self.count)))
        for index in range(self.count):
            stem = f"{index:0{digits}}-{self._kind_of(index)}"  # a number last would be a page's
            for page in range(1, self.pages_per_document + 1):
                yield index, page, stem if self.pages_per_document == 1 else f"{stem}_p{page}"

    def draw(self, index: int, page: int) -> SyntheticPage:
        """One of the pages."""
        plain = stream(self.seed, index, "plain").random() >= self.variety
        fonts = load_fonts(self.fonts)
        return draw_page(
            self.seed,
            index,
            self._kind_of(index),
            page=page,
            size=self.size,
            max_characters=self.max_characters or None,
            fonts=fonts.plainest if plain else fonts,
            plain=plain,
        )

    def _kind_of(self, index: int) -> str:
        return self.kinds[index % len(self.kinds)]


def write_samples(config: SynthConfig) -> Iterator[Path]:
    """Draw and write every page; its picture's path is yielded when it and its truth are on disk.

    Raises:
        UserError: the folder cannot be written to, or holds files of somebody else.
    """
    load_fonts(config.fonts)  # refused before a folder is made
    suffix = ".png" if config.picture == "png" else ".jpg"
    out = _own_folder(config, suffix)
    (out / MANIFEST_NAME).unlink(missing_ok=True)  # written last: there is one only when all is
    for index, page, stem in config.stems():
        drawn = config.draw(index, page)
        picture = out / f"{stem}{suffix}"
        with replacing(picture) as temporary:
            _save(drawn, temporary, config.picture)
        write_atomic(picture.with_suffix(".json"), _json(annotation(drawn, config.truth)))
        yield picture
    write_atomic(out / MANIFEST_NAME, _json(manifest(config)))


def annotation(page: SyntheticPage, truth: str = "text") -> dict[str, Any]:
    """What stands in the JSON beside a picture."""
    regions = [asdict(region) | {"box": list(region.box)} for region in page.regions]
    text = page.markdown if truth == "markdown" else page.text
    return {"text": text, "regions": regions, "lang": page.lang, "kind": page.kind}


def manifest(config: SynthConfig) -> dict[str, Any]:
    """All that decides the bytes: settings, fonts, versions."""
    settings = {name: value for name, value in asdict(config).items() if name != "out"}
    versions = {name: metadata.version(name) for name in ("pillow", "numpy", "matplotlib")}
    for library in ("freetype2", "zlib", "jpg"):
        versions[library] = str(features.version(library))
    fonts = load_fonts(config.fonts).sha256()
    return {"arguments": settings, "fonts": fonts, "versions": versions}


def _own_folder(config: SynthConfig, suffix: str) -> Path:
    out = make_output_dir(config.out)
    own = {MANIFEST_NAME}
    for _, _, stem in config.stems():
        own |= {stem + suffix, stem + ".json"}
    foreign = sorted(p.name for p in out.iterdir() if p.name not in own and not _is_torn(p, own))
    if foreign:
        raise UserError(
            f"{out}: holds {len(foreign)} other files ({foreign[0]}, ...); "
            "name a new or an empty folder"
        )
    return out


def _is_torn(path: Path, own: set[str]) -> bool:
    """Whether it is what a killed run left of one of its own files; if so it is removed."""
    torn = path.suffix == ".tmp" and path.name[1:].rsplit(".", 2)[0] in own
    if torn:
        path.unlink()
    return torn


def _save(page: SyntheticPage, path: Path, picture: str) -> None:
    if picture == "png":
        page.image.save(path, format="PNG")
    else:
        page.image.save(path, format="JPEG", quality=85)


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"
