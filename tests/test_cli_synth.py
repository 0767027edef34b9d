"""`deepseek-ocr synth`: a folder of drawn documents, the same for the same arguments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from deepseek_ocr.cli.main import run
from deepseek_ocr.data.annotations import Annotation
from deepseek_ocr.data.folder import DatasetFolder
from deepseek_ocr.data.formats import choose_reader
from deepseek_ocr.data.synthetic import KINDS, dataset
from deepseek_ocr.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_REFUSED, EXIT_USAGE
from deepseek_ocr.files import sha256_of

SMALL = ("--size", "400", "--count", "4")


def synth(out: Path, *arguments: str) -> int:
    return run("synth", [str(out), *(arguments or SMALL)])


def content_of(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in folder.iterdir()}


def test_pictures_with_json_beside_them(tmp_path, capsys):
    assert synth(tmp_path / "out") == EXIT_OK
    assert sorted(content_of(tmp_path / "out")) == [
        ".synth.json",
        "00000-lines.json",
        "00000-lines.png",
        "00001-letters.json",
        "00001-letters.png",
        "00002-receipts.json",
        "00002-receipts.png",
        "00003-tables.json",
        "00003-tables.png",
    ]
    row = json.loads((tmp_path / "out" / "00001-letters.json").read_text(encoding="utf-8"))
    assert list(row) == ["text", "regions", "lang", "kind"]
    assert list(row["regions"][0]) == ["label", "box", "text", "image"]
    assert capsys.readouterr().out == f"4 documents, 4 pages in {tmp_path / 'out'}\n"


def test_the_same_arguments_give_the_same_bytes(tmp_path):
    kinds = ("--kind", ",".join(KINDS), "--count", "7", "--size", "400")
    for name in ("a", "b"):
        assert synth(tmp_path / name, *kinds) == EXIT_OK
    assert synth(tmp_path / "c", *kinds, "--seed", "1") == EXIT_OK
    first, again, other = (content_of(tmp_path / name) for name in "abc")
    assert first == again
    assert set(first) == set(other)
    assert not set(first.values()) & set(other.values())


def test_a_run_with_a_larger_count_begins_with_the_same_documents(tmp_path):
    synth(tmp_path / "few", *SMALL)
    synth(tmp_path / "many", "--size", "400", "--count", "6")
    few, many = content_of(tmp_path / "few"), content_of(tmp_path / "many")
    del few[".synth.json"]
    assert few.items() <= many.items()


def test_the_sidecar_reader_takes_every_sample(tmp_path):
    synth(tmp_path, "--size", "400", "--count", "7", "--kind", ",".join(KINDS))
    folder = DatasetFolder(tmp_path)
    reader, _ = choose_reader(folder)
    assert reader.NAME == "sidecar"
    samples = list(reader.read(folder))
    assert len(samples) == 7
    for sample in samples:
        assert isinstance(sample, Annotation), sample
        assert sample.regions
        with Image.open(tmp_path / sample.images[0]) as image:
            assert max(x2 for *_, x2, _ in (r.box for r in sample.regions)) <= image.width


def test_pages_of_a_document_are_numbered(tmp_path):
    synth(tmp_path, "--count", "2", "--kind", "book", "--pages-per-document", "2", "--size", "400")
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert pictures == [f"0000{i}-book_p{p}.png" for i in (0, 1) for p in (1, 2)]


def test_truth_as_markdown(tmp_path):
    synth(tmp_path, "--count", "1", "--kind", "tables", "--truth", "markdown", "--size", "400")
    row = json.loads((tmp_path / "00000-tables.json").read_text(encoding="utf-8"))
    assert row["text"].startswith("# ")
    assert "<table><tr><td>" in row["text"]


def test_variety_is_the_share_of_documents_that_are_not_plain_print(tmp_path):
    def papers(name: str, *arguments: str) -> list[bool]:
        assert synth(tmp_path / name, "--kind", "words", "--size", "128", *arguments) == EXIT_OK
        pictures = sorted((tmp_path / name).glob("*.png"))
        return [Image.open(picture).getpixel((0, 0)) == (255, 255, 255) for picture in pictures]

    assert all(papers("plain", "--count", "20", "--variety", "0"))
    varied, half = (
        papers("varied", "--count", "20"),
        papers("half", "--count", "20", "--variety", ".5"),
    )
    assert sum(varied) < sum(half) < 20


def test_jpeg_pictures(tmp_path):
    synth(tmp_path, "--count", "1", "--picture", "jpeg", "--size", "400")
    with Image.open(tmp_path / "00000-lines.jpg") as image:
        assert image.format == "JPEG"


def test_the_manifest_names_all_that_decides_the_bytes(tmp_path):
    synth(tmp_path, *SMALL, "--seed", "9")
    manifest = json.loads((tmp_path / ".synth.json").read_text(encoding="utf-8"))
    assert manifest["arguments"]["seed"] == 9
    assert "out" not in manifest["arguments"]
    assert len(manifest["fonts"]["DejaVuSans.ttf"]) == 64
    assert {"pillow", "numpy", "matplotlib", "freetype2"} <= set(manifest["versions"])


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path, capsys):
    (tmp_path / "mine.png").write_bytes(b"precious")
    assert synth(tmp_path) == EXIT_REFUSED
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]
    assert "holds 1 other files (mine.png, ...); name a new or an empty folder" in (
        capsys.readouterr().err
    )


def test_its_own_folder_is_written_again(tmp_path):
    synth(tmp_path)
    before = content_of(tmp_path)
    (tmp_path / "00000-lines.png").write_bytes(b"spoiled")
    (tmp_path / ".00001-letters.png.abc123.tmp").write_bytes(b"of a killed run")
    assert synth(tmp_path) == EXIT_OK
    assert content_of(tmp_path) == before


def test_an_interrupted_run_leaves_whole_files_and_no_manifest(tmp_path, monkeypatch):
    synth(tmp_path)
    whole = content_of(tmp_path)
    draw, drawn = dataset.draw_page, []

    def draw_two(*arguments, **options):
        drawn.append(arguments)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return draw(*arguments, **options)

    monkeypatch.setattr(dataset, "draw_page", draw_two)
    assert synth(tmp_path) == EXIT_INTERRUPTED
    left = content_of(tmp_path)
    assert whole.keys() - left.keys() == {".synth.json"}
    assert left.items() <= whole.items()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--kind", "lines,leters"), "unknown kind 'leters'; did you mean letters?"),
        (("--kind", ""), "unknown kind ''; known: lines, letters"),
        (("--count", "0"), "count must be at least 1, got 0"),
        (("--size", "100"), "size: letters need at least 360 pixels, got 100"),
        (("--sed", "1"), "did you mean --seed?"),
        (("--picture", "tiff"), "invalid choice: 'tiff'"),
    ],
)
def test_wrong_usage_is_named_and_writes_nothing(tmp_path, capsys, arguments, message):
    assert synth(tmp_path / "out", *arguments) == EXIT_USAGE
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_missing_fonts_are_refused_before_a_folder_is_made(tmp_path, capsys):
    assert synth(tmp_path / "out", "--fonts", str(tmp_path / "none")) == EXIT_REFUSED
    assert "no such folder of fonts" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_drawing_imports_neither_torch_nor_pyplot():
    script = (
        "import sys, deepseek_ocr.cli.synth; "
        "from deepseek_ocr.data.synthetic import draw_page; draw_page(0, 0, 'lines'); "
        "sys.exit(sum(m in sys.modules for m in ('torch', 'transformers', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
