"""Raw answers of the model as Markdown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.evaluation.benchmarks.answers import plain_markdown

GROUNDED = (
    "<|ref|>title<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>\n# Hopes  \n\n"
    "<|ref|>image<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>\n  \n\n"
    "<|ref|>text<|/ref|><|det|>[[5, 6, 7, 8]]<|/det|>\n<center>and fears</center>"
)


def test_labels_and_boxes_go_and_the_text_below_them_stays():
    assert plain_markdown(GROUNDED) == "# Hopes  \n\n  \n\nand fears"


def test_an_answer_without_marks_is_left_as_it_is():
    answer = " <center>a</center>\n\n\n\nb <|ref|>half a mark<|/ref|> "
    assert plain_markdown(answer) == answer


def test_a_mark_that_is_not_complete_stays():
    answer = "<|ref|>a<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>x <|ref|>b<|/ref|>y"
    assert plain_markdown(answer) == "x <|ref|>b<|/ref|>y"


@given(
    st.lists(
        st.sampled_from(["<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>", "a", "\n"]), max_size=30
    )
)
def test_any_mixture_of_tags_is_read_and_nothing_is_added(pieces):
    answer = "".join(pieces)
    assert plain_markdown(answer).count("a") <= answer.count("a")
