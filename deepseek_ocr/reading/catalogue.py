"""What a job's folder knows of documents: whose name is whose, how many pages, what is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .documents import alike
from .growing import GrowingRows
from .journal import MAX_NUMBER

CATALOGUE_NAME = "documents.jsonl"


class Catalogue(GrowingRows):
    """Facts about documents; of two about the same the later one counts.

    But for names of outputs: the first document that has one keeps it.
    """

    def __init__(self, folder: Path):
        super().__init__(Path(folder) / CATALOGUE_NAME)
        self._owners: dict[str, str] = {}
        self._opened: dict[str, tuple[int, str]] = {}
        self._written: dict[str, Any] = {}

    def forget(self) -> None:
        """The file was replaced."""
        for known in (self._owners, self._opened, self._written):
            known.clear()

    def take(self, row: Mapping[str, Any], start: int, length: int) -> None:
        """A fact that is new."""
        name, owner, fingerprint = (row.get(key) for key in ("name", "path", "fingerprint"))
        if isinstance(name, str) and isinstance(owner, str):
            self._owners.setdefault(alike(name), owner)
        if isinstance(name, str) and "written" in row:
            self._written[name] = row["written"]
        num_pages = row.get("num_pages")
        is_count = isinstance(num_pages, int) and 0 < num_pages <= MAX_NUMBER
        if isinstance(fingerprint, str) and is_count:
            prompt = row.get("prompt")
            self._opened[fingerprint] = num_pages, prompt if isinstance(prompt, str) else ""  # type: ignore[assignment]

    def owner(self, name: str) -> str | None:
        """The path of the document whose outputs are named so; None: nobody's are."""
        return self._owners.get(alike(name))

    def claim(self, name: str, path: str) -> bool:
        """Whether outputs of that name are those of the document at `path`, now at the latest."""
        if self.owner(name) is None:
            self.append({"name": name, "path": path})
            self.refresh()
        return self._owners.get(alike(name)) == path

    def num_pages(self, fingerprint: str) -> int | None:
        """How many pages a document has; None: it has not been opened yet."""
        return self._opened.get(fingerprint, (None, ""))[0]

    def prompt(self, fingerprint: str) -> str:
        """What the document's pages are asked, at first."""
        return self._opened.get(fingerprint, (None, ""))[1]

    def set_opened(self, fingerprint: str, num_pages: int, prompt: str) -> None:
        """The document opens, has so many pages, and they are asked this."""
        if self._opened.get(fingerprint) != (num_pages, prompt):
            self.append({"fingerprint": fingerprint, "num_pages": num_pages, "prompt": prompt})
            self.refresh()

    def written(self, name: str) -> Any:
        """What the outputs of that name were last written from; None: they were not yet."""
        return self._written.get(name)

    def set_written(self, name: str, written: Any) -> None:
        """Outputs are on disk, or (None) are no longer to be trusted."""
        self.append({"name": name, "written": written})
        self.refresh()
