from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.splitting.grouping import documents_of
from deepseek_ocr.data.splitting.plan import asked_sides
from deepseek_ocr.errors import UsageError, UserError

from .columns_of import config, ids_of, plan, sample


def samples_of(*images: str | tuple[str, ...], **keys):
    return [
        sample(*((names,) if isinstance(names, str) else names), name=str(number), **keys)
        for number, names in enumerate(images)
    ]


def pages(*documents: str, num_pages: int = 1):
    return samples_of(*[f"{d}_p{p + 1}.png" for d in documents for p in range(num_pages)])


def numbered(count: int, prefix: str = "d") -> list[str]:
    return [f"{prefix}{i}" for i in range(count)]


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
    prints = {name: name[-5] for row in samples for name in row.images}  # p1 equals p1
    try:
        split = plan(samples, flags, fingerprints=prints)
    except UserError as error:
        assert "cannot be split" in str(error)
        return
    sides = ids_of(split, samples)
    assert sorted(int(name) for rows in sides.values() for name in rows) == [*range(len(samples))]
    seen: dict[str, str] = {}
    for place, row in enumerate(samples):
        side = split.side(place)
        marks = [*documents_of(row, "document"), *(prints[name] for name in row.images)]
        assert all(seen.setdefault(mark, side) == side for mark in marks)
        assert split.group(place) in split.documents(side)
    shuffled = list(samples)
    rng.shuffle(shuffled)
    again = ids_of(plan(shuffled, flags, fingerprints=prints), shuffled)
    assert {side: sorted(rows) for side, rows in again.items()} == {
        side: sorted(rows) for side, rows in sides.items()
    }


@given(st.integers(2, 300), st.floats(0.01, 0.98), st.integers(0, 5))
def test_shares_are_right_within_one_document(num_documents, share, seed):
    samples = pages(*numbered(num_documents))
    try:
        split = plan(samples, config(test_size=share, seed=seed))
    except UserError:
        assert share * num_documents > num_documents - 1
        return
    assert abs(split.num_documents("test") - share * num_documents) <= 1
    assert split.num_documents("train") and split.num_documents("test")


def test_a_count_is_a_number_of_documents():
    samples = pages(*numbered(10), num_pages=3)
    split = plan(samples, config(test_size=2, val_size=3))
    assert {side: split.num_samples(side) for side in split.sides} == {
        "train": 15,
        "val": 9,
        "test": 6,
    }
    assert [split.num_documents(side) for side in split.sides] == [5, 3, 2]


def test_another_seed_gives_another_split():
    samples = pages(*numbered(50))
    assert len({tuple(plan(samples, config(seed=s)).documents("test")) for s in range(10)}) == 10


def test_the_split_of_a_seed_is_the_same_on_every_machine_and_in_every_version():
    samples = samples_of(*[f"d{i}.png" for i in range(10)])
    assert plan(samples, config(test_size=3)).documents("test") == ["d3", "d5", "d7"]


@pytest.mark.parametrize(
    "seed, test, val",
    [
        (42, "d10 d12 d17 d21 d3", "d13 d14 d19 d20"),
        (7, "d16 d18 d20 d5 d6", "d0 d10 d12 d17"),
    ],
)
def test_strata_and_joined_documents_of_a_seed_are_the_same_in_every_version(seed, test, val):
    languages = ["en", "de", "fr"]
    samples = [
        sample(f"d{i}.png", name=str(i), lang=languages[i % 3 if i < 18 else 0]) for i in range(24)
    ]
    flags = config(test_size=0.2, val_size=4, stratify_by="lang", seed=seed)
    split = plan(samples, flags, fingerprints={"d0.png": "same", "d23.png": "same"})
    assert split.documents("test") == test.split() and split.documents("val") == val.split()
    assert [*split.joined()] == [("d0", ["d23"])]


def test_a_side_of_size_nought_stays_empty():
    split = plan(samples_of("a.png"), config(test_size=0))
    assert [split.num_samples(side) for side in split.sides] == [1, 0]
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
        plan(samples_of(*images), config(**flags))
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
        {"split": "hash", "test_size": 3},
        {"split": "hash", "stratify_by": "lang"},
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
    samples = [sample(f"d{i}.png", name=str(i), lang=lang) for i, lang in enumerate(languages)]
    split = plan(samples, config(test_size=share, stratify_by="lang"))
    tested = Counter(languages[int(name)] for name in ids_of(split, samples)["test"])
    number = split.num_samples("test")
    assert abs(number - share * len(languages)) <= 1
    for language, count in Counter(languages).items():
        assert abs(tested[language] - count * number / len(languages)) < 1


def test_a_document_of_several_strata_has_its_commonest():
    """Pages of each document: de, de, en, or en, en, de; equally common ones: the first by name."""
    samples = [
        sample(f"d{d}_p{p}.png", name=f"{d}/{p}", lang=lang)
        for d in range(20)
        for p, lang in enumerate([["de", "de", "en"], ["en", "en", "de"], ["fr", "en"]][d % 3])
    ]
    split = plan(samples, config(test_size=6, stratify_by="lang"))
    tested = Counter(int(name[1:]) % 3 for name in split.documents("test"))
    assert (tested[0], tested[1] + tested[2]) == (2, 4)  # of 7 in de and 13 in en


def test_any_plain_value_of_a_row_can_be_the_stratum():
    samples = [
        sample(f"d{i}.png", name=str(i), attributes={"kind": "ab"[i % 2]}) for i in range(20)
    ]
    split = plan(samples, config(test_size=4, stratify_by="kind"))
    tested = [samples[int(name)].attributes["kind"] for name in ids_of(split, samples)["test"]]
    assert Counter(tested) == {"a": 2, "b": 2}
    with pytest.raises(UserError, match="no sample has the key 'knd'; known: kind, lang"):
        plan(samples, config(stratify_by="knd"))


# by hash


@given(st.integers(20, 120), st.integers(1, 80), st.integers(0, 4), st.sampled_from([0.0, 0.2]))
def test_samples_that_are_added_never_move_others_of_a_hash_split(old, new, seed, val_size):
    flags = config(split="hash", test_size=0.3, val_size=val_size, seed=seed)
    names = numbered(old + new)
    try:
        before = plan(pages(*names[:old]), flags)
    except UserError as error:
        assert "falls to the side" in str(error)
        return
    after = plan(pages(*names), flags)
    for side in before.sides:
        assert set(before.documents(side)) <= set(after.documents(side))


def test_a_hash_split_has_about_the_shares_and_its_sides_do_not_depend_on_each_other():
    samples = pages(*numbered(4000))
    both = plan(samples, config(split="hash", test_size=0.1, val_size=0.2))
    assert both.num_documents("test") == pytest.approx(400, abs=60)
    assert both.num_documents("val") == pytest.approx(800, abs=80)
    only_test = plan(samples, config(split="hash", test_size=0.1))
    assert only_test.documents("test") == both.documents("test")
    more = plan(samples, config(split="hash", test_size=0.15, val_size=0.2))
    assert set(both.documents("test")) < set(more.documents("test"))
    assert more.documents("val") == both.documents("val")


def test_a_hash_split_is_the_same_on_every_machine():
    samples = samples_of(*[f"d{i}.png" for i in range(10)])
    split = plan(samples, config(split="hash", test_size=0.3, val_size=0.3))
    assert [split.documents(side) for side in split.sides] == [
        ["d5", "d6", "d7", "d8"],
        ["d0", "d1", "d2", "d4", "d9"],
        ["d3"],
    ]


def test_a_joined_document_goes_where_the_first_of_its_names_goes():
    """So shares stay right however many documents are joined, and later names move nothing."""
    flags = config(split="hash", test_size=0.3, val_size=0.3)
    names = sorted(numbered(90))
    alone = plan(pages(*names), flags)
    side_of = {name: side for side in alone.sides for name in alone.documents(side)}
    marks = {f"{name}_p1.png": str(place // 3) for place, name in enumerate(names)}
    split = plan(pages(*names), flags, fingerprints=marks)
    for side in split.sides:
        assert split.documents(side) == [name for name in names[::3] if side_of[name] == side]
    assert len([*split.joined()]) == 30


def test_a_hash_split_refuses_to_leave_a_side_empty():
    with pytest.raises(UserError, match="none of 3 documents falls to the side test; add doc"):
        plan(pages("a", "b", "c"), config(split="hash", test_size=0.01))


# with the sides of an earlier split


def written(split, path, group_by="document"):
    """What `--keep_sides` reads of a manifest."""
    content = {
        "arguments": {"group_by": group_by},
        "groups": {side: split.documents(side) for side in split.sides},
        "joined": dict(split.joined()),
    }
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("how", ["random", "hash"])
def test_kept_documents_stay_and_new_ones_fill_the_shares(tmp_path, how):
    before = plan(pages(*numbered(40)), config(test_size=0.25, val_size=0.25, seed=1))
    kept = written(before, tmp_path / "manifest.json")
    flags = config(test_size=0.25, val_size=0.25, seed=2, split=how, keep_sides=kept)
    after = plan(pages(*numbered(80)), flags)
    for side in before.sides:
        assert set(before.documents(side)) <= set(after.documents(side))
    if how == "random":
        assert [after.num_documents(side) for side in after.sides] == [40, 20, 20]
    assert after.moved == ()


def test_a_kept_side_that_is_larger_than_asked_for_takes_no_more(tmp_path):
    before = plan(pages(*numbered(10)), config(test_size=5))
    kept = written(before, tmp_path / "manifest.json")
    after = plan(pages(*numbered(20)), config(test_size=0.1, keep_sides=kept))
    assert after.documents("test") == before.documents("test")


def test_validation_documents_that_are_kept_get_their_file_unasked(tmp_path):
    before = plan(pages(*numbered(10)), config(test_size=2, val_size=3))
    kept = written(before, tmp_path / "manifest.json")
    after = plan(pages(*numbered(12)), config(test_size=2, keep_sides=kept))
    assert after.sides == ("train", "val", "test")
    assert after.documents("val") == before.documents("val")


def test_documents_of_both_sides_that_prove_to_be_one_go_to_testing_and_are_told(tmp_path):
    before = plan(pages(*numbered(10)), config(test_size=3))
    kept = written(before, tmp_path / "manifest.json")
    trained, tested = before.documents("train")[0], before.documents("test")[0]
    marks = {f"{trained}_p1.png": "same", f"{tested}_p1.png": "same"}
    samples = pages(*numbered(10))
    after = plan(samples, config(test_size=3, keep_sides=kept), fingerprints=marks)
    name = min(trained, tested)
    assert name in after.documents("test")
    assert [moved.to_json() for moved in after.moved] == [
        {"document": name, "from": ["train", "test"], "to": "test"}
    ]


def test_every_name_of_a_joined_document_is_kept(tmp_path):
    samples = pages(*numbered(10))
    marks = {"d3_p1.png": "same", "d7_p1.png": "same"}
    flags = config(test_size=1, seed=next(_seeds_that_test("d3", samples, marks)))
    kept = written(plan(samples, flags, fingerprints=marks), tmp_path / "manifest.json")
    without_d3 = [row for row in samples if row.images != ("d3_p1.png",)]
    after = plan(without_d3, config(test_size=1, keep_sides=kept))
    assert after.documents("test") == ["d7"]


def _seeds_that_test(name, samples, marks):
    for seed in range(1000):
        split = plan(samples, config(test_size=1, seed=seed), fingerprints=marks)
        if split.documents("test") == [name]:
            yield seed


@pytest.mark.parametrize(
    "content, reason",
    [
        (None, "cannot be read"),
        ("[", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is no manifest"),
        ('{"groups": {"train": ["a"]}}', "is no manifest"),
        ('{"arguments": {}, "groups": {"train": [1]}}', "is no manifest"),
        ('{"arguments": {"group_by": "none"}, "groups": {}}', "--group_by none, whose documents"),
        (
            '{"arguments": {"group_by": "document"}, "groups": {"train": ["z"]}}',
            "names none of this dataset's 2 documents",
        ),
    ],
)
def test_a_file_that_is_no_manifest_of_this_dataset_is_refused(tmp_path, content, reason):
    path = tmp_path / "manifest.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=reason) as error:
        plan(pages("a", "b"), config(keep_sides=path))
    assert str(error.value).startswith(str(path))


def test_sides_that_are_kept_must_leave_something_to_test(tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text('{"arguments": {"group_by": "document"}, "groups": {"train": ["a", "b", "c"]}}')
    with pytest.raises(UserError, match="falls to the side test; add documents, or split without"):
        plan(pages("a", "b", "c"), config(keep_sides=path))
