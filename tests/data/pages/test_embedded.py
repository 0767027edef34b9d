from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.pages.embedded import (
    embedded_pictures,
    is_embedded,
    named_file,
    picture_bytes,
)

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
BASE64 = base64.b64encode(PNG).decode()
URL = f"data:image/png;base64,{BASE64}"


def part(**keys):
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, keys]}]}


@pytest.mark.parametrize(
    "row",
    [
        {"image": URL, "text": "t"},
        {"images": [URL]},
        {"images": [], "image": URL},
        {"image": BASE64},
        {"image": {"bytes": PNG, "path": None}},
        {"image": {"bytes": BASE64, "path": "a.png"}},
        {"image": {"bytes": URL}},
        {"image": PNG},
        {"page_scan": PNG, "text": "t"},
        {"scans": [{"bytes": PNG, "path": "x"}], "text": "t"},
        {"images": [{"url": URL}]},
        {"image": {"base64": BASE64}},
        part(type="image_url", image_url={"url": URL}),
        part(type="image_url", image_url=URL),
        part(type="input_image", image_url=URL),
        part(type="image", image=URL),
        part(type="image", image=PNG),
        part(type="image", bytes=PNG),
        part(type="image", base64=BASE64),
        part(type="image", source={"type": "base64", "media_type": "image/png", "data": BASE64}),
        {"messages": [{"role": "<|User|>", "content": "<image>\na", "images": [{"bytes": PNG}]}]},
        {"conversations": [{"from": "human", "value": [{"type": "image", "image": URL}]}]},
        {"image_info": [{"matched_text_index": 0, "image_url": URL}]},
    ],
)
def test_a_picture_is_found_in_every_way_to_hold_one(row):
    (picture,) = embedded_pictures(row)
    assert is_embedded(picture) and named_file(picture) is None
    assert picture_bytes(picture) == PNG


@pytest.mark.parametrize(
    "row, names",
    [
        ({"images": ["b.png", URL, {"path": "c.png", "bytes": None}]}, ["b.png", None, "c.png"]),
        ({"image": "a.png", "images": ["a.png", "b.png"]}, ["a.png", "b.png"]),
        ({"file_name": "a.png", "text": URL}, ["a.png"]),
        (part(type="image_url", image_url={"url": "http://x/a.png"}), ["http://x/a.png"]),
        ({"messages": [{"content": [{"type": "image"}]}], "images": ["a.png"]}, ["a.png"]),
        ({"messages": [{"content": [{"type": "image", "image": None}]}]}, []),
        ({"text": "no picture", "n": 3, "image": None}, []),
        ({"image": 7, "messages": "no turns", "image_info": {"a": 1}}, []),
    ],
)
def test_pictures_are_listed_in_order_and_files_count_too(row, names):
    assert [named_file(picture) for picture in embedded_pictures(row)] == names


def test_pictures_of_the_row_come_before_those_of_its_turns():
    row = {
        "messages": [
            {"images": ["t1"], "content": [{"type": "image", "image": "t2"}]},
            {"content": [{"type": "image_url", "image_url": {"url": "t3"}}]},
        ],
        "image_info": [{"image_url": "i1"}],
        "images": ["r1", "r2"],
    }
    assert embedded_pictures(row) == ["r1", "r2", "t1", "t2", "t3", "i1"]


@pytest.mark.parametrize(
    "written",
    [
        URL,
        URL.replace("data:image/png;base64,", "DATA:;charset=x;BASE64,"),
        URL.rstrip("="),
        URL.replace("+", "-").replace("/", "_").replace("data:image_png", "data:image/png"),
        f"data:image/png;base64,{quote(BASE64)}",
        "data:image/png;base64," + "\n".join(BASE64[i : i + 76] for i in range(0, len(BASE64), 76)),
        f"data:image/png,{quote(PNG)}",
    ],
)
def test_data_urls_are_read_as_people_write_them(written):
    assert picture_bytes(written) == PNG


@pytest.mark.parametrize("written", ["data:image/png;base64", "data:;base64,@@@@", {"bytes": ""}])
def test_what_is_no_picture_says_what_was_expected(written):
    with pytest.raises(ValueError, match=r"expected|valid base64"):
        picture_bytes(written)


def test_paths_are_not_taken_for_base64():
    assert not is_embedded("SUkq/" + "folder/" * 20 + "scan.png")
    assert not is_embedded("/9j/a.jpg")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["image", "images", "bytes", "path", "url", "messages", "content", "x"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["image", "images", "messages", "image_info", "x"]), values))
def test_any_row_is_listed_or_refused_in_plain_words(row):
    for picture in embedded_pictures(row):
        if is_embedded(picture):
            try:
                picture_bytes(picture)
            except ValueError as error:
                assert str(error)
        else:
            named_file(picture)
