"""What a page is asked again after a repetition, in which order."""

from __future__ import annotations

import pytest

from deepseek_ocr.inference.prompts import Retry
from deepseek_ocr.inference.retries import TEMPERATURES, retries_for
from deepseek_ocr.model.processing import PROMPTS
from deepseek_ocr.resolution import MODES


def test_another_mode_comes_first_then_the_other_prompt_then_draws():
    ways = retries_for(4, mode="gundam", prompt=PROMPTS["markdown"])
    assert ways == (
        Retry(mode="base"),
        Retry(prompt=PROMPTS["text"]),
        Retry(temperature=0.2),
        Retry(temperature=0.4),
    )


@pytest.mark.parametrize("count", range(9))
def test_there_are_as_many_as_asked_for_and_the_first_ones_stay(count):
    ways = retries_for(count, prompt=PROMPTS["text"])
    assert len(ways) == count
    assert ways == retries_for(20, prompt=PROMPTS["text"])[:count]


@pytest.mark.parametrize("mode", [*MODES, "auto", None])
def test_the_other_mode_is_another(mode):
    (way,) = retries_for(1, mode=mode)
    assert way.mode in MODES and way.mode != mode


@pytest.mark.parametrize("task", PROMPTS)
def test_the_other_prompt_asks_for_the_page_again_or_there_is_none(task):
    prompts = [way.prompt for way in retries_for(9, prompt=PROMPTS[task]) if way.prompt]
    assert PROMPTS[task] not in prompts
    assert len(prompts) == (1 if task in ("markdown", "text", "ocr") else 0)
    assert all(prompt.count("<image>") == 1 for prompt in prompts)


@pytest.mark.parametrize("prompt", [None, "", "<image>\nConvert to markdown", "<image><image>\nA?"])
def test_a_prompt_of_ones_own_is_kept(prompt):
    assert all(way.prompt is None for way in retries_for(9, prompt=prompt))


def test_draws_grow_more_even_and_stay_so():
    temperatures = [way.temperature for way in retries_for(9)]
    assert temperatures == [0.0, *TEMPERATURES, *[TEMPERATURES[-1]] * 4]
    assert list(TEMPERATURES) == sorted(TEMPERATURES)


def test_fewer_than_none_are_refused():
    with pytest.raises(ValueError, match="at least 0, got -1"):
        retries_for(-1)
