"""What is asked of the pictures: a prompt holds one `<image>` for each of them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from .annotations import IMAGE_TOKEN, Annotation

DEFAULT_PROMPT = "<image>\nConvert to markdown"

ASKS_FOR = {
    "grounding": r"'<image>\n<|grounding|>OCR this image.', which the model knows",
    "json": r"'<image>\nRead the fields as JSON.', say: no prompt that the model knows asks for it",
}
"""Target -> a prompt that asks for it; those the model knows are published with its weights."""

LOOKED_AT = 1000  # rows


def misleading_prompt(target: str, prompt: str, rows: Iterable[Annotation]) -> str | None:
    """Advice where rows get the default prompt, which asks for Markdown, for another answer."""
    if target not in ASKS_FOR or typed_prompt(prompt) != DEFAULT_PROMPT:
        return None
    first = islice(rows, LOOKED_AT)
    if not any(row.prompt == for_images(DEFAULT_PROMPT, len(row.images)) for row in first):
        return None
    return (
        f"--target {target} is learned as the answer to `Convert to markdown`; ask for it with "
        f"--prompt {ASKS_FOR[target]}"
    )


def typed_prompt(prompt: str) -> str:
    r"""A prompt as typed on a command line, where `\n` means a newline."""
    return prompt.replace("\\n", "\n")


def with_image_tokens(prompt: str, num_images: int) -> str:
    """The prompt with `<image>` in front, once a picture, if it has none."""
    if IMAGE_TOKEN in prompt or num_images == 0:
        return prompt
    separator = "" if prompt.startswith("\n") or not prompt else "\n"
    return IMAGE_TOKEN * num_images + separator + prompt


def for_images(prompt: str, num_images: int) -> str:
    """A prompt meant for samples of one picture, for one with `num_images` (0: without pictures).

    Its only `<image>` is repeated or taken away; a prompt with several is left as it is.
    """
    if prompt.count(IMAGE_TOKEN) != 1 or num_images == 1:
        return with_image_tokens(prompt, num_images)
    if num_images == 0:
        return prompt.replace(IMAGE_TOKEN, "").lstrip("\n")
    return prompt.replace(IMAGE_TOKEN, IMAGE_TOKEN * num_images)
