"""Fields of a form whose parts are labelled and linked: questions, and what answers them."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import Any

from ._reading_order import Piece


@dataclasses.dataclass(frozen=True, slots=True)
class Part(Piece):
    """A part of a form; `links` are pairs of ids, as FUNSD writes them."""

    id: Hashable = None
    links: tuple[tuple[Hashable, Hashable], ...] = ()

    @property
    def kind(self) -> str:
        return self.label.lower()


def linked_fields(parts: Iterable[Part]) -> dict[str, Any]:
    """Text of each question -> text of its answer, a list of several, "" without any.

    `parts` come in reading order, and so do the fields. Questions of the same text are one field.
    """
    by_id = {part.id: part for part in parts}
    answers = defaultdict[Hashable, list[Hashable]](list)
    for part in by_id.values():
        for ends in part.links:
            kinds = [by_id[end].kind if end in by_id else "" for end in ends]
            if sorted(kinds) == ["answer", "question"]:
                question, answer = ends if kinds[0] == "question" else ends[::-1]
                if answer not in answers[question]:
                    answers[question].append(answer)
    order = {member: place for place, member in enumerate(by_id)}
    found = defaultdict[str, list[str]](list)
    for part in by_id.values():
        if part.kind == "question" and part.text.strip():
            in_order = sorted(answers[part.id], key=order.__getitem__)
            found[part.text].extend(by_id[answer].text for answer in in_order)
    return {question: _plain(texts) for question, texts in found.items()}


def labelled_fields(pieces: Iterable[Piece], unlabelled: frozenset[str]) -> dict[str, Any]:
    """Label -> text of its piece, a list of several; pieces of `unlabelled` labels are no field."""
    found = defaultdict[str, list[str]](list)
    for piece in pieces:
        if piece.label.lower() not in unlabelled:
            found[piece.label].append(piece.text)
    return {label: _plain(texts) for label, texts in found.items()}


def links_of(written: Any) -> tuple[tuple[Hashable, Hashable], ...]:
    """`[[0, 37], ...]` -> pairs of ids.

    Raises:
        ValueError: it is something else.
    """
    if written is None:
        return ()
    if not isinstance(written, list):
        raise ValueError("'linking': expected a list of pairs of ids")
    for link in written:
        pair = isinstance(link, list) and len(link) == 2
        if not pair or not all(isinstance(end, int | str) for end in link):
            raise ValueError("'linking': expected a list of pairs of ids")
    return tuple((one, other) for one, other in written)


def _plain(texts: list[str]) -> str | list[str]:
    said = [text for text in texts if text.strip()]
    return said if len(said) > 1 else "".join(said)
