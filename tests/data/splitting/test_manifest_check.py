from __future__ import annotations

import json

import pytest

from deepseek_ocr.data.splitting import manifest_check
from deepseek_ocr.data.splitting.manifest_check import Change, changes, read_manifest
from deepseek_ocr.errors import UserError
from deepseek_ocr.files import sha256_of


@pytest.fixture
def dataset(tmp_path):
    root, out = tmp_path / "d", tmp_path / "o"
    names = ("a/1.png", "a.json", "left.txt", "left.bin")
    for path in (*(root / name for name in names), out / "train.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {path.name}")
    manifest = {
        "sha256": {name: sha256_of(root / name) for name in names[:3]},
        "not_read": ["left.txt", "left.bin"],
        "written": {"train.json": sha256_of(out / "train.json")},
    }
    (out / "manifest.json").write_text(json.dumps(manifest))
    return root, out


def found(root, out) -> list[tuple[str, str]]:
    recorded = read_manifest(out / "manifest.json")
    return [(change.kind, change.path) for change in changes(recorded, root, out)]


def test_an_unchanged_dataset_has_no_changes(dataset):
    assert found(*dataset) == []


def test_every_change_is_found(dataset):
    root, out = dataset
    (root / "a" / "1.png").write_text("other")
    (root / "a.json").unlink()
    (root / "more.png").write_text("new")
    (out / "train.json").write_text("other")
    assert sorted(found(root, out)) == [
        ("changed", "a/1.png"),
        ("changed", "train.json"),
        ("missing", "a.json"),
        ("new", "more.png"),
    ]


def test_a_file_that_was_not_read_has_changed_too_or_is_gone(dataset):
    root, out = dataset
    (root / "left.txt").write_text("a row by now")
    (root / "left.bin").unlink()
    assert found(root, out) == [("changed", "left.txt"), ("missing", "left.bin")]


def test_a_file_that_could_not_be_read_is_as_it_was_or_has_changed(dataset, monkeypatch):
    root, out = dataset
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["sha256"]["left.txt"] = ""
    (out / "manifest.json").write_text(json.dumps(manifest))
    assert found(root, out) == [("changed", "left.txt")]

    def refused(path):
        if path.name in ("left.txt", "a.json"):
            raise PermissionError
        return sha256_of(path)

    monkeypatch.setattr(manifest_check, "sha256_of", refused)
    assert found(root, out) == [("unreadable", "a.json")]


def test_a_link_out_of_the_root_cannot_be_read_whatever_is_there(dataset):
    root, out = dataset
    (root / "a.json").rename(out / "elsewhere.json")
    (root / "a.json").symlink_to(out / "elsewhere.json")
    assert found(root, out) == [("unreadable", "a.json")]


def test_a_file_of_the_same_size_and_time_that_was_altered_is_found(dataset):
    import os

    root, out = dataset
    path = root / "a.json"
    before = path.stat()
    path.write_text(path.read_text().upper())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert found(root, out) == [("changed", "a.json")]


def test_a_split_inside_its_dataset_is_not_new(dataset):
    root, out = dataset
    inside = root / "split"
    out.rename(inside)
    (inside / "manifest.json").rename(root / "m.json")  # then nothing but its own list tells
    recorded = read_manifest(root / "m.json")
    (root / "m.json").unlink()
    assert list(changes(recorded, root, inside)) == []


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "holds no object"),
        (b"{}", "no list 'not_read'"),
        (b'{"not_read": [], "sha256": []}', "no SHA-256 of files under 'sha256'"),
        (b'{"not_read": [], "sha256": {"a": 1}}', "no SHA-256 of files under 'sha256'"),
        (b'{"not_read": [], "sha256": {}}', "no SHA-256 of files under 'written'"),
        (b'{"not_read": [], "sha256": {"../a": ""}}', "leads out of its folder"),
        (b'{"not_read": [], "sha256": {"/a": ""}}', "leads out of its folder"),
        (b'{"not_read": [], "sha256": {}, "written": {"a/../../b": ""}}', "leads out"),
        (b'{"not_read": [], "sha256": {"a\\u0000": ""}}', "leads out of its folder"),
    ],
)
def test_what_no_split_has_written_is_refused(tmp_path, content, reason):
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"expected a manifest\.json that data_utils") as error:
        read_manifest(path)
    assert reason in str(error.value) and str(error.value).startswith(f"{path}: ")


def test_a_manifest_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_manifest(tmp_path / "none.json")


def test_changes_are_ordered_by_kind_and_path():
    assert sorted([Change("new", "a"), Change("changed", "b")])[0].kind == "changed"
