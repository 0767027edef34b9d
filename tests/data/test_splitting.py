from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.annotations import Annotation
from deepseek_ocr.data.grouping import documents_of
from deepseek_ocr.data.splitting import SplitConfig, asked_sides, split_samples
from deepseek_ocr.errors import UsageError, UserError


def config(**flags) -> SplitConfig:
    return SplitConfig(data_root="d", output_dir="o", **flags)


def samples_of(*images: str | tuple[str, ...], **keys):
    rows = []
    for number, names in enumerate(images):
        names = (names,) if isinstance(names, str) else names
        row = Annotation(id=str(number), images=names, prompt="", text="t", **keys)
        rows.append((row, documents_of(row, "document")))
    return rows


layouts = st.lists(
    st.lists(
        st.builds("{}/{}_p{}.png".format, *[st.sampled_from("abcde")] * 2, st.integers(1, 9)),
        min_size=1,
        max_size=3,
    ).map(tuple),
    min_size=1,
    max_size=40,
)
sizes = st.sampled_from([0.0, 0.1, 0.3, 0.45, 1, 2])


@given(layouts, sizes, sizes, st.integers(0, 9), st.randoms())
def test_no_document_or_picture_lies_on_two_sides_and_nothing_is_lost(
    layout, test_size, val_size, seed, rng
):
    samples = samples_of(*layout)
    flags = config(test_size=test_size, val_size=val_size, seed=seed)
    prints = {name: name[-5] for row, _ in samples for name in row.images}  # p1 equals p1
    try:
        split = split_samples(samples, prints, flags)
    except UserError as error:
        assert "cannot be split" in str(error)
        return
    assert sorted(int(r.id) for rows in split.sides.values() for r in rows) == [
        *range(len(samples))
    ]
    seen: dict[str, str] = {}
    for side, rows in split.sides.items():
        for row in rows:
            marks = [*documents_of(row, "document"), *(prints[name] for name in row.images)]
            assert all(seen.setdefault(mark, side) == side for mark in marks)
    shuffled = list(samples)
    rng.shuffle(shuffled)
    again = split_samples(shuffled, prints, flags)
    for side in split.sides:
        assert {r.id for r in again.sides[side]} == {r.id for r in split.sides[side]}
        assert [r.id for r in split.sides[side]] == sorted(
            (r.id for r in split.sides[side]), key=int
        )


@given(st.integers(2, 300), st.floats(0.01, 0.98), st.integers(0, 5))
def test_shares_are_right_within_one_document(num_documents, share, seed):
    samples = samples_of(*[f"d{i}.png" for i in range(num_documents)])
    try:
        split = split_samples(samples, {}, config(test_size=share, seed=seed))
    except UserError:
        assert share * num_documents > num_documents - 1
        return
    assert abs(len(split.documents["test"]) - share * num_documents) <= 1
    assert split.documents["train"] and split.documents["test"]


def test_a_count_is_a_number_of_documents():
    samples = samples_of(*[f"d{i}_p{p}.png" for i in range(10) for p in (1, 2, 3)])
    split = split_samples(samples, {}, config(test_size=2, val_size=3))
    assert {side: len(rows) for side, rows in split.sides.items()} == {
        "train": 15,
        "val": 9,
        "test": 6,
    }


def test_another_seed_gives_another_split():
    samples = samples_of(*[f"d{i}.png" for i in range(50)])
    tests = {tuple(split_samples(samples, {}, config(seed=s)).documents["test"]) for s in range(10)}
    assert len(tests) == 10


def test_the_split_of_a_seed_is_the_same_on_every_machine():
    samples = samples_of(*[f"d{i}.png" for i in range(10)])
    assert split_samples(samples, {}, config(test_size=3)).documents["test"] == ["d3", "d5", "d7"]


def test_a_side_of_size_nought_stays_empty():
    split = split_samples(samples_of("a.png"), {}, config(test_size=0))
    assert [len(rows) for rows in split.sides.values()] == [1, 0]
    assert asked_sides(config()) == ("train", "test")


@pytest.mark.parametrize(
    "images, flags, reason",
    [
        (("a_p1.png", "a_p2.png"), {}, "1 document cannot be split into 1 for testing"),
        (
            ("a.png", "b.png"),
            {"val_size": 0.1},
            "2 documents cannot be split into 1 for testing, 1",
        ),
        (("a.png", "b.png"), {"test_size": 2}, "2 documents cannot be split into 2 for testing"),
    ],
)
def test_too_few_documents_are_refused_with_advice(images, flags, reason):
    with pytest.raises(UserError, match=reason) as error:
        split_samples(samples_of(*images), {}, config(**flags))
    assert "add documents" in str(error.value)
    assert ("--group_by none" in str(error.value)) == (images[0] == "a_p1.png")


@pytest.mark.parametrize(
    "flags",
    [
        {"test_size": -0.1},
        {"test_size": 1.5},
        {"val_size": float("nan")},
        {"test_size": float("inf")},
        {"test_size": 0.6, "val_size": 0.4},
        {"group_by": "("},
    ],
)
def test_flags_that_make_no_sense_are_wrong_usage(flags):
    with pytest.raises(UsageError):
        config(**flags)


@given(
    st.lists(st.sampled_from(["en", "de", "fr"]), min_size=10, max_size=60),
    st.sampled_from([0.1, 0.25, 0.5]),
)
def test_strata_are_spread_evenly_over_the_sides(languages, share):
    samples = []
    for number, language in enumerate(languages):
        row = samples_of(f"d{number}.png", lang=language)[0]
        samples.append((dataclasses.replace(row[0], id=str(number)), {f"d{number}"}))
    split = split_samples(samples, {}, config(test_size=share, stratify_by="lang"))
    counts, tested = Counter(languages), Counter(r.lang for r in split.sides["test"])
    number = len(split.sides["test"])
    assert abs(number - share * len(languages)) <= 1
    for language, count in counts.items():
        assert abs(tested[language] - count * number / len(languages)) < 1


def test_any_plain_value_of_a_row_can_be_the_stratum():
    samples = [
        (dataclasses.replace(row, attributes={"kind": "ab"[i % 2]}), documents)
        for i, (row, documents) in enumerate(samples_of(*[f"d{i}.png" for i in range(20)]))
    ]
    split = split_samples(samples, {}, config(test_size=4, stratify_by="kind"))
    assert Counter(row.attributes["kind"] for row in split.sides["test"]) == {"a": 2, "b": 2}
    with pytest.raises(UserError, match="no sample has the key 'knd'; known: kind, lang"):
        split_samples(samples, {}, config(stratify_by="knd"))
