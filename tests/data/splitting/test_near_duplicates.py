from __future__ import annotations

import pytest

from deepseek_ocr.data.splitting.columns import comparable_text
from deepseek_ocr.data.splitting.near_duplicates import find_near_duplicates, listed
from deepseek_ocr.errors import UserError

from .columns_of import columns_of, config, ids_of, plan, sample

LONG = "x" * 200


def found(samples, kept="all", **marks):
    duplicates = find_near_duplicates(columns_of(samples, **marks), kept)
    return [(each["rule"], each["references"]) for each in listed(duplicates, samples.__getitem__)]


def test_pictures_of_the_same_bytes_are_listed_by_name():
    samples = [sample("b.png", "c.png"), sample("a.png"), sample("d.png"), sample("b.png")]
    same = {"a.png": "1", "b.png": "1", "d.png": "2"}
    assert found(samples, fingerprints=same) == [("same picture", ["a.png", "b.png"])]


def test_a_picture_that_several_samples_ask_about_is_no_duplicate():
    assert found([sample("a.png", text="one"), sample("a.png", text="two")]) == []


def test_pictures_that_look_alike_and_have_the_same_text_are_listed():
    samples = [
        sample("a.png", text="Total  12"),
        sample("b.png", text="total 12\n"),
        sample("c.png", text="total 13"),
        sample("d.png", text="total 12"),
    ]
    looks = {"a.png": 0b1111, "b.png": 0, "c.png": 0, "d.png": 0b11111 << 20}
    assert found(samples, looks=looks) == [("alike pictures", ["a.png", "b.png"])]
    assert found(samples, "bytes", looks=looks) == []


def test_blank_pictures_look_like_nothing():
    samples = [sample("a.png", text="1"), sample("b.png", text="1")]
    assert found(samples, looks={"a.png": 0}) == []


def test_equal_bytes_are_not_listed_again_as_alike_or_as_the_same_text():
    samples = [sample("a.png", text=LONG), sample("b.png", text=LONG), sample("c.png", text=LONG)]
    assert found(
        samples, fingerprints={"a.png": "1", "b.png": "1"}, looks={"a.png": 9, "b.png": 9}
    ) == [("same picture", ["a.png", "b.png"]), ("same text", ["a.png", "c.png"])]


def test_long_texts_are_listed_with_all_pictures_of_a_sample_or_by_its_id():
    samples = [
        sample("a.png", "b.png", text=LONG),
        sample(text=LONG.upper(), name="text only"),
        sample("c.png", text=LONG[1:]),
        sample("d.png", text=LONG[1:]),
    ]
    assert found(samples) == [("same text", ["a.png", "b.png", "text only"])]
    assert found(samples, "pictures") == []


def test_sets_are_listed_in_the_order_of_the_dataset():
    names = ["z", "y", "x", "w"]
    samples = [sample(f"{name}{i}.png") for i in range(2) for name in names]
    same = {f"{name}{i}.png": name for name in names for i in range(2)}
    assert [references[0] for _, references in found(samples, fingerprints=same)] == [
        *("z0.png", "y0.png", "x0.png", "w0.png")
    ]


@pytest.mark.parametrize(
    "text, compared",
    [
        ("  Two\n\tWORDS ", "two words"),
        ("Straße ﬁx", "strasse fix"),
        ("\u00a0a\u2003b\u3000", "a b"),
        ("Å", "å"),
        ("Ａ１", "a1"),
        ("", ""),
    ],
)
def test_texts_are_compared_without_case_forms_and_white_space(text, compared):
    assert comparable_text(text) == compared


# a cluster of over half the samples


def many(count: int = 20, **keys):
    return [sample(f"{i}.png", name=str(i), **{"text": f"text {i}"} | keys) for i in range(count)]


def names_of(samples, share: float) -> list[str]:
    return [row.images[0] for row in samples[: int(share * len(samples))]]


def test_a_picture_in_over_half_the_samples_stops_the_split_with_advice():
    samples = many()
    same = dict.fromkeys(names_of(samples, 0.55), "blank")
    with pytest.raises(UserError) as error:
        plan(samples, config(), fingerprints=same)
    assert str(error.value) == (
        "d: 11 of 20 samples, of 11 documents, cannot be parted, as they show the same picture; "
        "the commonest is 0.png, 11 times.\nGive each picture once, or take out what is no page "
        "(blank, or a stand-in)"
    )
    half = dict.fromkeys(names_of(samples, 0.5), "blank")
    assert plan(samples, config(), fingerprints=half).num_documents("train")


def test_a_text_of_over_half_the_samples_stops_the_split_and_names_the_way_out():
    samples = many(text=f"The same\n{LONG}")
    with pytest.raises(UserError) as error:
        plan(samples, config())
    assert "20 of 20 samples, of 20 documents, cannot be parted, as their text" in str(error.value)
    assert f'the commonest is "The same {"x" * 51}...", 20 times' in str(error.value)
    assert "--near_duplicates pictures" in str(error.value)
    assert len(ids_of(plan(samples, config(near_duplicates="pictures")), samples)["test"]) == 2


def test_pictures_that_look_alike_in_over_half_the_samples_stop_the_split():
    samples = many(text="same")
    looks = dict.fromkeys(names_of(samples, 0.8), 5)
    with pytest.raises(UserError, match=r"16 of 20 .* look alike .* 0\.png, 16 times"):
        plan(samples, config(), looks=looks)
    assert plan(samples, config(near_duplicates="bytes"), looks=looks).num_documents("test") == 2


def test_smaller_documents_are_advised_where_there_are_large_ones():
    samples = [
        sample(f"{book}_p{i}.png", name=f"{book}/{i}", text=f"{book} {i}")
        for book in "abcdefghij"
        for i in range(4 if book < "d" else 1)
    ]
    same = dict.fromkeys(["a_p1.png", "b_p1.png", "c_p1.png"], "cover")
    with pytest.raises(UserError, match=r"12 of 19 samples, of 3 documents, .*\n.* --group_by"):
        plan(samples, config(), fingerprints=same)


def test_a_document_that_is_over_half_of_the_dataset_by_itself_is_no_reason_to_stop():
    samples = [sample(f"book_p{i}.png", name=str(i), text=f"page {i}") for i in range(30)]
    samples += [sample(f"x{i}.png", name=f"x{i}", text=f"sheet {i}") for i in range(20)]
    same = {"book_p1.png": "same", "x1.png": "same"}
    split = plan(samples, config(), fingerprints=same)
    assert [*split.joined()] == [("book", ["x1"])]


def test_a_few_documents_may_well_be_joined_by_half():
    samples = many(4)
    same = dict.fromkeys(names_of(samples, 0.75), "same")
    assert plan(samples, config(), fingerprints=same).num_documents("train") == 1
