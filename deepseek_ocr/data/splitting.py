"""Which documents are for learning and which for judging: seeded, whole documents only."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from ..errors import UsageError, UserError
from .annotations import BEGIN_TOKEN, END_TOKEN, Annotation
from .grouping import compile_rule, join_documents
from .prompts import DEFAULT_PROMPT

Side = Literal["train", "val", "test"]
NO_VALUE = "(none)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """The flags of `data_utils.py`."""

    data_root: Annotated[Path, "folder with the pictures and their annotations"]
    output_dir: Annotated[Path, "folder for train.json, test.json and manifest.json"]
    format: Annotated[str, "shape of the dataset; auto: detected"] = "auto"
    test_size: Annotated[float, "share of the documents for testing; from 1: their number"] = 0.1
    val_size: Annotated[float, "as test_size, for val.json; 0: none"] = 0.0
    seed: Annotated[int, "same seed and dataset, same split"] = 42
    group_by: Annotated[
        str, "kept on one side: pages of one document, none, or REGEX (its group 1 of the path)"
    ] = "document"
    stratify_by: Annotated[
        str | None, "key whose values are spread evenly over the sides, such as lang"
    ] = None
    prompt: Annotated[str, r"asked where an annotation has no prompt; \n is a newline"] = (
        DEFAULT_PROMPT
    )
    on_error: Annotated[
        Literal["stop", "skip"], "bad rows: stop and write nothing, or leave them out"
    ] = "stop"

    def __post_init__(self) -> None:
        for name in ("test_size", "val_size"):
            size = getattr(self, name)
            if not 0 <= size < math.inf or (size > 1 and size != int(size)):
                raise UsageError(
                    f"--{name}: expected a share below 1 or a whole number, got {size}"
                )
        if self.test_size < 1 and self.val_size < 1 and self.test_size + self.val_size >= 1:
            raise UsageError(
                f"--test_size {self.test_size} and --val_size {self.val_size} leave nothing for "
                "training; expected a sum below 1"
            )
        compile_rule(self.group_by)
        for token in (BEGIN_TOKEN, END_TOKEN):
            if token in self.prompt:
                raise UsageError(f"--prompt: the special token {token} stands in it; remove it")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """The samples of each side, in the dataset's order, each with its document as `group`."""

    sides: Mapping[Side, Sequence[Annotation]]
    documents: Mapping[Side, Sequence[str]]


def split_samples(
    samples: Sequence[tuple[Annotation, Iterable[str]]],
    fingerprints: Mapping[str, str],
    config: SplitConfig,
) -> Split:
    """Samples, each with the documents it belongs to -> sides.

    `fingerprints` (reference -> hash) keeps equal pictures on one side. The order of `samples`
    decides the order of the rows, never their side.

    Raises:
        UserError: too few documents for the sides that are asked for.
    """
    members = join_documents(samples, fingerprints)
    strata = _strata(samples, members, config.stratify_by)
    side_of = assign_sides(strata, config, len(samples))
    document_of = {place: name for name, places in members.items() for place in places}
    sides: dict[Side, list[Annotation]] = {side: [] for side in asked_sides(config)}
    for place, (annotation, _) in enumerate(samples):
        name = document_of[place]
        sides[side_of[name]].append(dataclasses.replace(annotation, group=name))
    documents = {side: sorted(n for n, s in side_of.items() if s == side) for side in sides}
    return Split(sides=sides, documents=documents)


def asked_sides(config: SplitConfig) -> tuple[Side, ...]:
    """The sides that get a file; `val` only when asked for."""
    return ("train", "val", "test") if config.val_size else ("train", "test")


def assign_sides(
    strata: Mapping[str, str], config: SplitConfig, num_samples: int = 0
) -> dict[str, Side]:
    """Document -> side, from document -> stratum; `num_samples` is for advice.

    Documents stand in the order of a hash of seed and name, which no listing order, platform or
    version of Python changes; each side takes the first ones of every stratum.

    Raises:
        UserError: too few documents.
    """
    num_test, num_val = _numbers(len(strata), config, num_samples)
    queues: dict[str, list[str]] = defaultdict(list)
    for name in sorted(strata, key=lambda name: _place(name, config.seed)):
        queues[strata[name]].append(name)
    side_of: dict[str, Side] = dict.fromkeys(strata, "train")
    taken: Counter[str] = Counter()
    sides: tuple[tuple[Side, int], ...] = (("test", num_test), ("val", num_val))
    for side, number in sides:
        free = {stratum: len(queue) - taken[stratum] for stratum, queue in queues.items()}
        for stratum, count in _shares(number, free, config.seed).items():
            first = taken[stratum]
            side_of |= dict.fromkeys(queues[stratum][first : first + count], side)
            taken[stratum] += count
    return side_of


def _place(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()


def _numbers(num_documents: int, config: SplitConfig, num_samples: int) -> tuple[int, int]:
    """How many documents are for testing and for validation; at least one of each side asked."""
    num_test, num_val = (
        int(size) if size >= 1 else max(1, math.floor(size * num_documents + 0.5)) if size else 0
        for size in (config.test_size, config.val_size)
    )
    if num_test + num_val >= num_documents:
        wanted = f"{num_test} for testing" + (f", {num_val} for validation" if num_val else "")
        advice = ["add documents"]
        if num_documents > 1:
            advice.append("make --test_size and --val_size smaller")
        if num_samples > num_documents and config.group_by != "none":
            advice.append("split pages apart with --group_by none")
        raise UserError(
            f"{config.data_root}: {num_documents} document{'' if num_documents == 1 else 's'} "
            f"cannot be split into {wanted} and at least one for training; {', or '.join(advice)}"
        )
    return num_test, num_val


def _shares(number: int, sizes: Mapping[str, int], seed: int) -> dict[str, int]:
    """`number` dealt out in proportion to `sizes`, the largest remainders rounded up."""
    total = sum(sizes.values())
    exact = {stratum: number * size / total for stratum, size in sizes.items()}
    counts = {stratum: math.floor(share) for stratum, share in exact.items()}
    by_remainder = sorted(exact, key=lambda s: (counts[s] - exact[s], _place(s, seed)))
    for stratum in by_remainder[: number - sum(counts.values())]:
        counts[stratum] += 1
    return counts


def _strata(
    samples: Sequence[tuple[Annotation, Iterable[str]]],
    members: Mapping[str, Sequence[int]],
    key: str | None,
) -> dict[str, str]:
    """Document -> the commonest value of `key` among its samples."""
    if key is None:
        return dict.fromkeys(members, "")
    values = [_value(annotation, key) for annotation, _ in samples]
    if all(value == NO_VALUE for value in values):
        known = sorted({k for annotation, _ in samples for k in annotation.attributes} | {"lang"})
        raise UserError(f"--stratify_by: no sample has the key {key!r}; known: {', '.join(known)}")
    strata = {}
    for name, places in members.items():
        counts = Counter(values[place] for place in places)
        strata[name] = min(counts, key=lambda value: (-counts[value], value))
    return strata


def _value(annotation: Annotation, key: str) -> str:
    if key == "lang":
        return annotation.lang or NO_VALUE
    return annotation.attributes.get(key, NO_VALUE)
