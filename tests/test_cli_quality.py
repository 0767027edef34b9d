"""`deepseek-ocr info MODEL --quality FILE`: what quantized weights cost in quality."""

from __future__ import annotations

import json
import re

import pytest

from deepseek_ocr.cli import main as entry
from deepseek_ocr.data.annotations import read_annotations, write_annotations
from tests.conftest import REPOSITORY
from tests.evaluation.samples import write_dataset
from tests.training.samples import save_small_model

CHECKPOINT = REPOSITORY / "recipes" / "nano" / "checkpoint"
SIZES = {"moe_intermediate_size": 32, "intermediate_size": 64, "max_position_embeddings": 64}
TEXTS = ["Total 9.50", "a cat", "b", "x" * 100, "sat on"]
SHORT = ("--max_new_tokens", 8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_small_model(tmp_path_factory.mktemp("quality") / "model", **SIZES)


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path, TEXTS)


def quality(capsys, model, dataset, *flags, code=0):
    root, test_file = dataset
    arguments = ["info", model, "--quality", test_file, "--data_root", root, *SHORT, *flags]
    assert entry.main([*map(str, arguments)]) == code
    return capsys.readouterr()


def test_both_ways_are_compared_with_the_models_own_weights(capsys, model, dataset):
    told = quality(capsys, model, dataset, "--json")
    found = json.loads(told.out)
    assert found["num_rows"] == 5
    assert [row["id"] for row in found["left_out"]] == ["row-3"]
    assert "row-3" in told.err and "the model has 64" in told.err
    for way in ("int8", "int4"):
        figures = found[way]
        assert 0 < figures["logit_error"] < 1
        assert 0 <= figures["top1_agreement"] <= 1
        assert sum(figures["statuses"].values()) == 5
        change = figures["cer_difference"]["difference"]
        assert change == pytest.approx(figures["cer"] - found["full"]["cer"], abs=1e-5)
    assert found["int8"]["logit_error"] < found["int4"]["logit_error"]
    assert found["int4"]["weight_bytes"] < found["int8"]["weight_bytes"]


def test_the_table_has_a_column_for_each(capsys, model, dataset):
    out = quality(capsys, model, dataset).out
    assert "on 4 of 5 rows of test.json" in out
    assert re.search(r"^ +float32 +int8 +int4$", out, re.M)
    assert re.search(r"^logits, relative error +- +0\.\d{4} +0\.\d{4}$", out, re.M)
    assert re.search(r"^CER( +\d\.\d{4}){3}$", out, re.M)


def test_one_way_and_few_rows_may_be_asked_for(capsys, model, dataset):
    told = quality(capsys, model, dataset, "--quantize", "int8", "--limit", 2, "--json")
    found = json.loads(told.out)
    assert "int4" not in found
    assert (found["num_rows"], found["left_out"]) == (2, [])


def test_random_weights_are_not_asked_to_read(capsys, dataset):
    out = quality(capsys, "nano-untrained", dataset, "--limit", 2).out
    assert "CER is not compared: random weights read nothing" in out
    assert re.search(r"^top-1 agreement +- +[01]\.\d{4}$", out, re.M)


def test_a_way_that_does_not_suit_the_model_is_told(capsys, dataset):
    told = quality(capsys, "nano-untrained", dataset, "--limit", 1)
    assert "not compared: int4 needs rows of a multiple of 32 weights" in told.err
    told = quality(capsys, "nano-untrained", dataset, "--quantize", "int4", code=4)
    assert told.out == "" and "use int8" in told.err


def test_a_trained_model_keeps_its_answers(capsys, dataset):
    """Not the preset `nano`: the checkpoint that the recipe begins its later stages from."""
    root, test_file = dataset
    rows = read_annotations(test_file, root)[:2]
    write_annotations(test_file, rows)
    found = json.loads(quality(capsys, CHECKPOINT, dataset, "--json").out)
    assert found["int8"]["logit_error"] < 0.05
    assert found["int8"]["top1_agreement"] > 0.9


def test_rows_without_any_that_can_be_compared_are_refused(capsys, model, dataset):
    root, test_file = dataset
    write_annotations(test_file, read_annotations(test_file, root)[3:4])
    told = quality(capsys, model, dataset, code=4)
    assert told.out == "" and "none of 1 rows can be compared" in told.err


def test_pictures_are_looked_for_beside_the_file(capsys, model, tmp_path):
    root, test_file = write_dataset(tmp_path, TEXTS[:1])
    moved = root / "test.json"
    test_file.rename(moved)
    arguments = ["info", model, "--quality", moved, *SHORT, "--quantize", "int8"]
    assert entry.main([*map(str, arguments)]) == 0
    assert "on 1 rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--limit", "3"], "--limit is for --quality FILE"),
        (["--json"], "--json is for --quality FILE"),
        (["--quality", "t.json", "--limit", "0"], "--limit must be at least 1, got 0"),
        (["--quality", "t.json", "--max_new_tokens", "0"], "--max_new_tokens must be at least 1"),
        (["--quality", "t.json", "--quantize", "int2"], "--quantize"),
    ],
)
def test_wrong_flags_are_wrong_usage(capsys, flags, message):
    assert entry.main(["info", "nano-untrained", *flags]) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_is_not_there_is_refused(capsys, tmp_path):
    flags = ["--quality", str(tmp_path / "no.json")]
    assert entry.main(["info", "nano-untrained", *flags]) == 4
    assert "no.json" in capsys.readouterr().err
