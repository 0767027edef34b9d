"""Raw answers of the model -> Markdown as benchmarks score it, by the page's id."""

from __future__ import annotations

import re
from collections import deque

_TAG = re.compile(r"<\|/?(?:ref|det)\|>")
_TAGS = ("<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>")
_BLANK_LINES = re.compile(r"\n{3,}")
_CENTER = re.compile(r"</?center>")


def plain_markdown(answer: str) -> str:
    """An answer without the labels and boxes of `<|grounding|>`, as the model's own evaluation.

    `<|ref|>label<|/ref|><|det|>boxes<|/det|>` goes, the text below stays; then runs of empty lines
    and `<center>`. An answer that holds no such mark is not touched: it is another reader's.
    """
    kept, end = [], 0
    last: deque[re.Match[str]] = deque(maxlen=len(_TAGS))
    for tag in _TAG.finditer(answer):
        last.append(tag)
        if tuple(match[0] for match in last) == _TAGS and last[1].end() == last[2].start():
            kept.append(answer[end : last[0].start()])
            end = tag.end()
    if not kept:
        return answer
    text = "".join([*kept, answer[end:]])
    return _BLANK_LINES.sub("\n\n", _CENTER.sub("", text)).strip()
