"""A share counts documents: where they make the shares of samples other than asked, it is told."""

from __future__ import annotations

import pytest

from .columns_of import config, plan, sample


def pages(document: str, count: int):
    return [sample(f"{document}_{page}.png", text=f"{document} {page}") for page in range(count)]


def files(count: int, group: str | None = None):
    return [sample(f"{group}{n}x.png", text=f"{group} {n}", group=group) for n in range(count)]


@pytest.mark.parametrize(
    "samples, flags, reason",
    [
        (pages("a", 20) + files(3), {}, "one document, a: a number at the end of a name (a_0.png"),
        (files(20, "g") + files(3), {}, "one document, g: the dataset says so"),
        (
            [sample(f"a.pdf#page={n + 1}", text=str(n)) for n in range(20)] + files(3),
            {},
            "one document, a: all show the same file",
        ),
        (pages("a", 20) + files(3), {"group_by": "(^.)"}, "--group_by (^.) says so"),
        (
            [sample("p.png", "q.png"), *(sample("q.png", f"x{n}y.png") for n in range(9))],
            {"test_size": 0.0},
            None,
        ),
    ],
)
def test_the_reason_is_that_of_the_rule_that_joined_it(samples, flags, reason):
    if reason is None:
        assert "documents share pages or near-duplicates" in str(_uneven(samples + files(3), flags))
    else:
        assert reason in str(_uneven(samples, flags))


def _uneven(samples, flags):
    return plan(samples, config(**flags)).uneven


@pytest.mark.parametrize(
    "samples, flags",
    [
        (files(50), {"test_size": 0.5}),
        (pages("a", 5) + pages("b", 3), {}),  # few samples: no split is exact
        ([row for d in "abcdefghij" for row in pages(d, 8)], {}),
        (pages("a", 12) + pages("b", 12) + pages("c", 12), {"test_size": 1}),  # a number
    ],
)
def test_shares_as_asked_are_not_spoken_of(samples, flags):
    assert _uneven(samples, flags) is None


def test_the_sides_that_are_far_from_asked_are_named():
    samples = [row for d in "abcdefgh" for row in pages(d, 40)] + files(92)
    told = {_uneven(samples, {"seed": seed, "test_size": 0.05}) for seed in range(30)} - {None}
    assert told and all("so test has " in line and "not 5%" in line for line in told)
