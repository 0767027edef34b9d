"""One dataset with every kind of bad row, and input that means harm."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from deepseek_ocr.cli.main import run
from deepseek_ocr.data.annotations import BEGIN_TOKEN, END_TOKEN
from deepseek_ocr.data.json_files import rows as json_rows
from tests.conftest import REPOSITORY

from ..datasets import draw

GOOD = {"image": "good.png", "text": "t"}


def row(**values) -> dict:
    return GOOD | values


def region(**values) -> dict:
    return row(regions=[{"label": "x", "box": [0, 0, 5, 5]} | values])


BAD_ROWS = [  # a line of the file, the kind of problem, a part of its reason
    (b'{"image": "good.png", "text": "t"', "not valid JSON", "not valid JSON"),
    (b'{"image": "good.png", "text": "t"} {}', "not valid JSON", "more follows after its end"),
    (b'{"image": "good.png", "text": "a", "text": "b"}', "not valid JSON", "is given twice"),
    (b'{"image": "good.png", "text": NaN}', "not valid JSON", "NaN is not valid JSON"),
    (b'{"image": "good.png", "text": "a\\u0000b"}', "not valid JSON", "a null character"),
    (b'{"image": "good.png", "text": "a\0b"}', "not valid JSON", "invalid control character"),
    (b'{"image": "good.png", "text": "\\ud83d"}', "not valid JSON", "half of a surrogate pair"),
    (b'{"image": "good.png", "text": "gr\xfc\xdfe"}', "not UTF-8", "save the file in UTF-8"),
    (b'["good.png", "t"]', "not valid JSON", "expected an object {...}, found a list"),
    (b'{"text":' + b"[" * 50_000, "not valid JSON", "nested too deeply"),
    (b'{"text": ' + b"9" * 5000 + b"}", "not valid JSON", "too many digits"),
    (b'{"text": "' + b"x" * 120_000 + b'"}', "row too long", "split it"),
    ({"text": "t"}, "annotation without picture", "no picture is named"),
    (row(image="none.png"), "annotation without picture", "none.png does not exist"),
    (row(image="x" * 5000), "annotation without picture", "does not exist"),
    (row(image="x/" * 5000), "annotation without picture", "does not exist"),
    (row(image="/etc/hostname"), "bad path", "an absolute path"),
    (row(image="../outside.png"), "bad path", "leads out of the data root"),
    (row(image="good.png#page=0"), "bad path", "pages count from 1"),
    (row(image="good.png#page=2"), "unreadable picture", "has no page 2"),
    (row(image="link.png"), "unreadable picture", "leads out of the data root"),
    (row(image="loop.png"), "unreadable picture", "a link that leads nowhere"),
    (row(image="text.png"), "unreadable picture", "not a picture of a known format"),
    (row(image="cut.png"), "unreadable picture", "cut short"),
    (row(image="empty.png"), "unreadable picture", "the file is empty"),
    (row(image="pages.tif"), "unreadable picture", "holds 2 pages"),
    (row(image="damaged.pdf"), "unreadable picture", "the PDF is damaged"),
    (row(image="bomb.png"), "unreadable picture", "more than the limit"),
    (row(image="speck.png"), "tiny picture", "2 x 2 pixels; expected at least"),
    ({"image": "good.png"}, "no text", "no key 'text'"),
    (row(text=None), "no text", "'text' is null"),
    (row(text=7), "no text", "'text' is a number"),
    (row(text=" \n"), "empty text", "the text is empty"),
    (row(text="a<image>"), "special token", "<image> stands in the text"),
    (row(text=BEGIN_TOKEN), "special token", f"{BEGIN_TOKEN} stands in the text"),
    (row(prompt=f"Read.{END_TOKEN}"), "special token", f"{END_TOKEN} stands in the prompt"),
    (row(prompt="<image><image>"), "prompt", "has 2 <image> for 1 pictures"),
    (row(id="same"), "duplicate id", "is already that of rows.jsonl:1"),
    (row(id=[1]), "bad value", "'id' is a list"),
    (row(text=""), "empty text", "the text is empty"),
    (region(box=[1, 2, 3]), "region", "expected four numbers"),
    (region(box=[9, 2, 3, 4]), "region", "ends before it begins"),
    (region(image=1), "region", "a region of picture 1"),
    (region(box=[0, 0, 5, 99]), "box outside the page", "leaves the page good.png"),
    (row(images=["other.png"]), "ambiguous annotation", "name different pictures"),
]


def of_size(picture: Path, width: int, height: int) -> bytes:
    """The bytes of a PNG that says it is so large."""
    content = picture.read_bytes()
    header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


@pytest.fixture
def bad_dataset(tmp_path, monkeypatch):
    """Two good rows, and between them all the bad ones."""
    monkeypatch.setattr(json_rows, "MAX_ROW_BYTES", 100_000)
    root = tmp_path / "data"
    draw(root / "good.png")
    draw(root / "other.png", 1)
    (root / "text.png").write_text("no picture")
    Image.effect_noise((50, 50), 50).save(root / "whole.png")
    (root / "cut.png").write_bytes((root / "whole.png").read_bytes()[:1500])
    (root / "whole.png").unlink()
    (root / "empty.png").touch()
    draw(tmp_path / "outside.png")
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    pages = [Image.new("L", (9, 9), shade) for shade in (1, 2)]
    pages[0].save(root / "pages.tif", save_all=True, append_images=pages[1:])
    (root / "damaged.pdf").write_bytes(b"%PDF-1.4 and no more")
    (root / "bomb.png").write_bytes(of_size(root / "good.png", 20_000, 20_000))
    Image.new("L", (2, 2)).save(root / "speck.png")
    lines = [b if isinstance(b, bytes) else json.dumps(b).encode() for b, _, _ in BAD_ROWS]
    first, last = row(id="same"), row(image="other.png", id="last")
    lines = [json.dumps(first).encode(), *lines, json.dumps(last).encode()]
    (root / "rows.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return root


def split(root: Path, *flags: str) -> int:
    output = root.parent / "out"
    return run("split", ["--data_root", str(root), "--output_dir", str(output), *flags])


def test_every_bad_row_is_reported_in_one_run_and_nothing_is_written(bad_dataset, capsys):
    assert len(BAD_ROWS) >= 30
    assert split(bad_dataset) == 4
    assert not (bad_dataset.parent / "out").exists()
    error = capsys.readouterr().err
    for line, (_, kind, reason) in enumerate(BAD_ROWS, 2):
        told = [shown for shown in error.splitlines() if f"  rows.jsonl:{line}: " in shown]
        assert len(told) == 1 and reason in told[0], (line, kind, reason, told)
        assert len(told[0]) < 1000
        assert f"\n{kind}: " in f"\n{error}"
    assert f"{len(BAD_ROWS)} problems in {len(BAD_ROWS) + 2} rows; nothing was written" in error


def test_bad_rows_are_left_out_and_listed_in_the_manifest(bad_dataset, capsys):
    assert split(bad_dataset, "--on_error", "skip") == 3
    output = bad_dataset.parent / "out"
    kept = [json.loads((output / f"{side}.json").read_text()) for side in ("train", "test")]
    assert sorted(sample["id"] for side in kept for sample in side) == ["last", "same"]
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["counts"]["rejected"] == len(BAD_ROWS) == len(manifest["rejected"])
    told = {problem["source"]: problem for problem in manifest["rejected"]}
    for line, (_, kind, reason) in enumerate(BAD_ROWS, 2):
        assert told[f"rows.jsonl:{line}"]["kind"] == kind
        assert reason in told[f"rows.jsonl:{line}"]["reason"]


LARGE_ROW = """
import resource, sys
from pathlib import Path
from deepseek_ocr.data.checking.dataset import check_dataset
from deepseek_ocr.data.folder import DatasetFolder
from deepseek_ocr.data.formats import choose_reader

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

folder = DatasetFolder(Path(sys.argv[1]))
reader, _ = choose_reader(folder, sys.argv[2])
before = peak()
dataset = check_dataset(folder, reader, prompt="", group_by="document")
print([str(problem) for problem in dataset.problems], [row.id for row in dataset.samples])
print((peak() - before) >> 20)
"""


@pytest.mark.parametrize("name", ["jsonl", "json"])
def test_a_row_of_more_than_64_mib_is_told_and_memory_stays_bounded(tmp_path, name):
    opening, closing = (b"", b"\n") if name == "jsonl" else (b"[", b",")
    with (tmp_path / f"rows.{name}").open("wb") as file:
        file.write(opening + b'{"id": "a", "images": [], "text": "')
        for _ in range(150):
            file.write(b"x" * (1 << 20))
        file.write(b'"}' + closing + b'{"id": "b", "images": [], "text": "t"}\n')
    done = subprocess.run(
        [sys.executable, "-c", LARGE_ROW, str(tmp_path), name],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told, mebibytes = done.stdout.splitlines()
    assert f"rows.{name}:1: a row of more than 64 MiB; split it" in told
    assert ("['b']" in told) == (name == "jsonl")  # an array cannot be read on behind it
    assert int(mebibytes) < 150  # as large as the file, were it held


@pytest.mark.parametrize(
    "name, content",
    [
        ("rows.json", b"[" * 5_000_000),
        ("rows.json", b'[{"a":' * 1_000_000),
        ("rows.jsonl", b'{"image":' * 1_000_000),
        ("rows.jsonl", b"\0" * 5_000_000),
        ("good.json", b'{"text":' + b"[" * 1_000_000),
        ("good.txt", b"\0" * 1000),
        ("good.json", b"\xff\xfe" + "{}".encode("utf-16-le")),
    ],
)
def test_hostile_files_are_refused_with_a_plain_reason(tmp_path, capsys, name, content):
    draw(tmp_path / "data" / "good.png")
    (tmp_path / "data" / name).write_bytes(content)
    assert split(tmp_path / "data") == 4
    error = capsys.readouterr().err
    assert f"  {name}:1: " in error and "Traceback" not in error and len(error) < 2000


def billion_laughs(root: str, depth: int = 12) -> str:
    entities = "".join(
        f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' if n else '<!ENTITY l0 "lol">'
        for n in range(depth)
    )
    return f'<?xml version="1.0"?><!DOCTYPE x [{entities}]>{root.format(f"&l{depth - 1};")}'


OUTSIDE = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
PAGE = (
    '<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15">'
    '<Page imageFilename="good.png" imageWidth="8" imageHeight="8"><TextRegion id="r">'
    "<TextEquiv><Unicode>{}</Unicode></TextEquiv></TextRegion></Page></PcGts>"
)
ALTO = (
    '<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#"><Layout><Page WIDTH="8" HEIGHT="8">'
    '<PrintSpace><TextBlock ID="b"><TextLine><String CONTENT="{}"/></TextLine></TextBlock>'
    "</PrintSpace></Page></Layout></alto>"
)


@pytest.mark.parametrize("name, shape", [("page_xml", PAGE), ("alto", ALTO)])
@pytest.mark.parametrize("attack", ["laughs", "outside", "depth", "nulls"])
def test_xml_that_means_harm_is_refused(tmp_path, capsys, name, shape, attack):
    draw(tmp_path / "data" / "good.png")
    content = {
        "laughs": billion_laughs(shape),
        "outside": OUTSIDE + shape.format("&e;"),
        "depth": shape.format("t").replace("</Page>", "<a>" * 100_000 + "</Page>"),
        "nulls": "\0" * 1000,
    }[attack]
    (tmp_path / "data" / "good.xml").write_text(content)
    assert split(tmp_path / "data", "--format", name) == 4
    error = capsys.readouterr().err
    assert "  good.xml:1: " in error and "Traceback" not in error and len(error) < 2000
    (tmp_path / "data" / "good.xml").write_text(shape.format("t"))  # the shape alone is good
    assert split(tmp_path / "data", "--format", name, "--test_size", "0") == 0


def test_control_codes_of_a_dataset_do_not_reach_the_terminal(tmp_path, capsys):
    draw(tmp_path / "data" / "a.png")
    rows = [{"image": "a.png", "text": "t", "id": "\x1b[31mred"}] * 2
    (tmp_path / "data" / "rows.json").write_text(json.dumps(rows))
    assert split(tmp_path / "data") == 4
    assert "\x1b" not in capsys.readouterr().err
