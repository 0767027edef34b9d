"""How a dataset is read: the flags that `data_utils.py` and `deepseek-ocr check` have in common."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from ..errors import UsageError
from .annotations import BEGIN_TOKEN, END_TOKEN
from .prompts import DEFAULT_PROMPT
from .splitting.grouping import compile_rule
from .truth.normalization import check_normalization

Target = Literal["auto", "text", "markdown", "json", "grounding"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """What decides which samples a folder holds, and what their texts are."""

    format: Annotated[str, "shape of the dataset; auto: detected"] = "auto"
    group_by: Annotated[
        str,
        "what is one document: the pages of one (document), each sample (none), key:NAME (samples "
        "with the same value of that key), or REGEX (the same group 1 of the path)",
    ] = "document"
    target: Annotated[
        Target, "the answer to learn; auto: as the dataset gives it; else made from its structure"
    ] = "auto"
    normalize: Annotated[
        str, "changes to the true text, such as nfc+blanks; none: kept as written"
    ] = "none"
    prompt: Annotated[str, r"asked where an annotation has no prompt; \n is a newline"] = (
        DEFAULT_PROMPT
    )

    def __post_init__(self) -> None:
        compile_rule(self.group_by)
        check_normalization(self.normalize)
        for token in (BEGIN_TOKEN, END_TOKEN):
            if token in self.prompt:
                raise UsageError(f"--prompt: the special token {token} stands in it; remove it")
