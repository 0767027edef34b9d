"""Flags that hold several things: lists of names, and numbers for parts."""

from __future__ import annotations

import pytest

from deepseek_ocr.errors import UsageError
from deepseek_ocr.training.settings.flag_values import names_of, values_of_parts
from deepseek_ocr.training.tuning.parts import PARTS, VISION


def test_names_come_in_the_order_of_those_known():
    known = ("sam", "clip", "decoder")
    assert names_of("x", "decoder, sam", known) == ("sam", "decoder")
    assert names_of("x", "none", known) == ()
    assert names_of("x", "all", known) == known


def test_a_part_named_itself_goes_before_its_sets_in_whatever_order():
    found = values_of_parts("part_lr", ["sam=3", "all=1", "vision=2"], PARTS)
    assert found["sam"] == 3 and found["clip"] == 2 and found["attention"] == 1
    assert set(found) == set(PARTS)


def test_of_a_set_those_parts_count_that_train():
    assert values_of_parts("part_lr", ["vision=1e-5"], ["projector", "head"]) == {"projector": 1e-5}
    assert values_of_parts("part_lr", None, VISION) == {}
    assert values_of_parts("part_lr", ["sam=1,clip=2"], VISION) == {"sam": 1.0, "clip": 2.0}


@pytest.mark.parametrize(
    "pairs, reason",
    [
        (["clips=1"], "--part_lr: unknown part 'clips'; did you mean clip"),
        (["lr=1"], "--part_lr: unknown part 'lr'; known: sam"),
        (["head=1"], "--part_lr: head does not train; what does, by --parts: sam, clip"),
        (["decoder=1"], "--part_lr: decoder does not train"),
        (["sam=1", "sam=2"], "--part_lr: sam is named twice"),
        (["sam"], r"--part_lr: expected sam=NUMBER, from 0; got 'sam'"),
        (["sam=fast"], "expected sam=NUMBER"),
        (["sam=-1"], "expected sam=NUMBER"),
        (["sam=inf"], "expected sam=NUMBER"),
        (["sam=nan"], "expected sam=NUMBER"),
    ],
)
def test_what_is_no_number_of_a_part_that_trains_is_refused(pairs, reason):
    with pytest.raises(UsageError, match=reason):
        values_of_parts("part_lr", pairs, ["sam", "clip"])
