"""No test set shares a document, a picture or a near-duplicate with training: random layouts."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import random
import unicodedata
from collections.abc import Sequence

import numpy as np
import pytest

from deepseek_ocr.data.splitting import plan as splitting
from deepseek_ocr.data.splitting.joined_documents import join_documents
from deepseek_ocr.data.splitting.leaks import find_leaks
from deepseek_ocr.data.splitting.near_duplicates import find_near_duplicates
from deepseek_ocr.data.splitting.plan import SplitPlan, plan_split
from deepseek_ocr.errors import UserError

from .columns_of import columns_of, config, sample

ENDINGS = ["", "_p{}", "-page{}", ".{:03}", "_page_{}", "-{}", "_pg{}"]
LONG = "so long a text that it cannot be the same by chance, " * 4  # 212 characters
TEXTS = ["Total", "TOTAL ", "page one", "page two", LONG, LONG.upper(), f" {LONG}x", LONG[:205]]


@dataclasses.dataclass(frozen=True)
class Page:
    """A page of a random layout and what is known of it."""

    reference: str
    document: str
    fingerprint: str
    look: int | None


@dataclasses.dataclass(frozen=True)
class Row:
    """A sample of a random layout, its pages and the documents that it must belong to."""

    pages: tuple[Page, ...]
    text: str
    documents: frozenset[str]
    files: frozenset[str]


def random_layout(rng: random.Random) -> tuple[list[Row], str]:
    """Some rows, and how they are grouped."""
    group_by = rng.choice(["document"] * 4 + ["none", "(.)/", "key:writer"])
    pool = _random_pages(rng)
    rows = []
    for number in range(rng.randint(2, 18)):
        pages = tuple(rng.choices(pool, k=rng.choice([0, 1, 1, 1, 1, 2])))
        text = rng.choice(TEXTS) if rng.random() < 0.6 else f"text {number}"
        documents = {
            "document": {page.document for page in pages},
            "none": {f"row {number}"},
            "(.)/": {page.reference[0] for page in pages},
            "key:writer": {f"writer {number % 5}"},
        }[group_by] or {f"row {number}"}
        files = {page.fingerprint.partition("#")[0] for page in pages}
        if group_by in ("none", "key:writer"):
            files = set()
        rows.append(Row(pages, text, frozenset(documents), frozenset(files)))
    return rows, group_by


def _random_pages(rng: random.Random) -> list[Page]:
    looks = [rng.getrandbits(64) for _ in range(3)]
    contents: dict[str, str] = {}  # file -> its bytes
    pages: list[Page] = []
    for _ in range(rng.randint(1, 24)):
        folder = rng.choice("ab")
        stem = rng.choice(["scan", "letter", "007", "x"]) + rng.choice(["", "y", "z", "w"])
        ending = rng.choice(ENDINGS).format(rng.randint(1, 3)) if not stem.isdigit() else ""
        if rng.random() < 0.2:
            reference = f"{folder}/{stem}.pdf#page={rng.randint(1, 2)}"
        else:
            reference = f"{folder}/{stem}{ending}.png"
        if any(page.reference == reference for page in pages):
            continue
        file, _, part = reference.partition("#")
        if file not in contents:
            contents[file] = rng.choice(["A", "B"]) if rng.random() < 0.1 else file
        look = rng.choice(looks)
        for _ in range(rng.randint(0, 6)):
            look ^= 1 << rng.randrange(64)
        far = rng.getrandbits(64)
        pages.append(
            Page(
                reference=reference,
                document=f"{folder}/{stem}",
                fingerprint=f"{contents[file]}#{part}",
                look=rng.choice([look, look, far, None]),
            )
        )
    return pages


def columns_of_layout(rows: Sequence[Row], group_by: str):
    samples = [
        sample(
            *(page.reference for page in row.pages),
            name=f"row {number}",
            text=row.text,
            attributes={"writer": f"writer {number % 5}"},
        )
        for number, row in enumerate(rows)
    ]
    pages = {page.reference: page for row in rows for page in row.pages}
    columns = columns_of(
        samples,
        group_by=group_by,
        fingerprints={name: page.fingerprint for name, page in pages.items()},
        looks={name: page.look for name, page in pages.items() if page.look is not None},
        files={
            name.partition("#")[0]: page.fingerprint.partition("#")[0]
            for name, page in pages.items()
        },
    )
    return samples, columns


@functools.cache
def comparable(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def belong_together(one: Row, other: Row, kept: str) -> bool:
    """The rules, as the issue states them, for two rows."""
    if one.documents & other.documents or one.files & other.files:
        return True
    pairs = [*itertools.product(one.pages, other.pages)]
    if any(a.fingerprint == b.fingerprint for a, b in pairs):
        return True
    if comparable(one.text) != comparable(other.text) or kept == "bytes":
        return False
    if kept == "all" and len(comparable(one.text)) >= 200:
        return True
    return any(
        a.look is not None and b.look is not None and (a.look ^ b.look).bit_count() <= 4
        for a, b in pairs
    )


def parts(rows: Sequence[Row], kept: str) -> list[int]:
    """For each row the first row it hangs together with, found by looking at all pairs."""
    first = list(range(len(rows)))
    for i, j in itertools.combinations(range(len(rows)), 2):
        if first[i] != first[j] and belong_together(rows[i], rows[j], kept):
            low, high = sorted((first[i], first[j]))
            first = [low if f == high else f for f in first]
    return first


def random_flags(rng: random.Random, group_by: str):
    split = rng.choice(["random", "hash"])
    sizes = [0.2, 0.3, 0.5] if split == "hash" else [0.1, 0.3, 1, 2]
    return config(
        split=split,
        test_size=rng.choice(sizes),
        val_size=rng.choice([0.0, 0.0, 0.2]),
        seed=rng.randrange(5),
        group_by=group_by,
        near_duplicates=rng.choice(["all", "all", "pictures", "bytes"]),
    )


def check_layout(rng: random.Random) -> SplitPlan | None:
    """Splits one random layout and compares it with the rules; None if it cannot be split."""
    rows, group_by = random_layout(rng)
    flags = random_flags(rng, group_by)
    samples, columns = columns_of_layout(rows, group_by)
    try:
        split = plan_split(columns, flags, samples.__getitem__)
    except UserError:
        columns.close()
        return None
    expected = parts(rows, flags.near_duplicates)
    names: dict[int, str] = {}
    for place, part in enumerate(expected):
        assert split.side(place) == split.side(part), (rows[place], rows[part])
        assert names.setdefault(part, split.group(place)) == split.group(place)
    assert len(set(names.values())) == len(names), "joined though nothing joins them"
    columns.close()
    return split


@pytest.mark.parametrize("first", range(0, 10_000, 1_250))  # parts, for several processes
def test_ten_thousand_random_layouts_keep_together_what_belongs_together_and_no_more(first):
    seeds = range(first, first + 1_250)
    num_split = sum(check_layout(random.Random(seed)) is not None for seed in seeds)
    assert num_split > 625


@pytest.mark.proof
def test_a_hundred_thousand_random_layouts_keep_together_what_belongs_together():
    for seed in range(10_000, 110_000):
        check_layout(random.Random(seed))


def test_leaks_are_found_if_and_only_if_there_are_some():
    num_leaks = 0
    for seed in range(600):
        rng = random.Random(seed)
        rows, group_by = random_layout(rng)
        kept = rng.choice(["all", "pictures", "bytes"])
        _, columns = columns_of_layout(rows, group_by)
        sides = np.array([rng.random() < 0.1 for _ in rows], dtype=np.int8)
        leaks = find_leaks(columns, find_near_duplicates(columns, kept), sides)
        expected = parts(rows, kept)
        apart = any(sides[place] != sides[part] for place, part in enumerate(expected))
        assert bool(leaks) == apart
        num_leaks += apart
        columns.close()
    assert 100 < num_leaks < 500


def test_a_split_that_would_leak_is_an_internal_error(monkeypatch):
    def leaking(columns, documents, *_):
        return np.arange(len(documents), dtype=np.int8) % 2 * 2

    samples = [sample("a.png", name="1"), sample("b.png", name="2")]
    columns = columns_of(samples)
    columns.pictures.hashes[1] = columns.pictures.hashes[0]
    monkeypatch.setattr(splitting, "assign_sides", leaking)
    monkeypatch.setattr(splitting, "join_documents", lambda c, _: join_documents(c, []))
    with pytest.raises(RuntimeError, match=r"would leak .*same picture: 1 times, such"):
        plan_split(columns, config(), samples.__getitem__)
