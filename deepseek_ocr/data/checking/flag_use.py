"""Whether a flag's value fits any row: one that fits none is wrong itself, and not the rows."""

from __future__ import annotations

import dataclasses

from ...errors import UsageError
from ..annotations import Annotation, find_faults
from ..problems import Problem
from ..prompts import for_images, typed_prompt
from ..splitting.grouping import documents_of


class FlagUse:
    """Notes rows until one fits `--prompt` and one `--group_by`; to be asked before long work."""

    def __init__(self, prompt: str, group_by: str):
        self.prompt, self.group_by = typed_prompt(prompt), group_by
        self._misfits = {"prompt": 0, "group_by": 0}  # rows; a flag that fits one is taken out
        self._first: dict[str, str] = {}

    def note(self, row: Annotation) -> None:
        """Take account of a row as its reader gave it."""
        for flag in tuple(self._misfits):
            reason = self._misfit(flag, row)
            if reason is None:
                continue
            if not reason:
                del self._misfits[flag]
                continue
            self._misfits[flag] += 1
            self._first.setdefault(flag, reason)

    def check(self) -> None:
        """Check that each flag fits a row that it concerns, if there is any.

        Raises:
            UsageError: a flag fits none.
        """
        for flag, num_rows in self._misfits.items():
            if num_rows:
                raise UsageError(
                    f"--{flag} fits none of {num_rows} rows; the first: {self._first[flag]}"
                )

    def _misfit(self, flag: str, row: Annotation) -> str | None:
        """Why a flag does not fit a row; "" if it does, None if the row does not ask for it."""
        faults = dict(find_faults(row))
        if "bad path" in faults:
            return None
        if flag == "group_by":
            documents = documents_of(row, self.group_by)
            return documents.reason if isinstance(documents, Problem) else ""
        if row.prompt.strip():
            return None
        if any("page=*" in reference for reference in row.images):
            return ""  # as many pages as the prompt asks for, perhaps
        filled = for_images(self.prompt, len(row.images))
        return dict(find_faults(dataclasses.replace(row, prompt=filled))).get("prompt", "")
