"""What is asked of a page: the published prompts by name, or one's own."""

from __future__ import annotations

from typing import Literal

from ..data.prompts import typed_prompt, with_image_tokens
from ..errors import UsageError

Task = Literal["markdown", "text", "ocr", "figure", "describe", "locate"]

TASK_PROMPTS: dict[str, str] = {
    "markdown": "<image>\n<|grounding|>Convert the document to markdown.",
    "text": "<image>\nFree OCR.",
    "ocr": "<image>\n<|grounding|>OCR this image.",
    "figure": "<image>\nParse the figure.",
    "describe": "<image>\nDescribe this image in detail.",
    "locate": "<image>\nLocate <|ref|>{text}<|/ref|> in the image.",
}
"""The six published prompts (README of the released code)."""

DEFAULT_TASK = "markdown"


def choose_prompt(
    *,
    prompt: str | None = None,
    task: str | None = None,
    locate: str | None = None,
    trained: str | None = None,
) -> str:
    r"""The prompt for one page; `prompt` beats `task`, which beats what the model was trained on.

    Args:
        prompt: as typed, `\n` means a newline; without `<image>` it gets one in front.
        locate: what the task `locate` looks for; alone it means that task.
        trained: the prompt that the model's folder remembers.

    Raises:
        UsageError: an unknown task, or `locate` and another task, or one without the other.
    """
    check_task(task, locate)
    if prompt is not None:
        return with_image_tokens(typed_prompt(prompt), 1)
    if task is None and locate is None:
        return trained or TASK_PROMPTS[DEFAULT_TASK]
    return TASK_PROMPTS[task or "locate"].replace("{text}", locate or "")


def check_task(task: str | None, locate: str | None) -> None:
    """Raises UsageError where task and what is to be located do not belong together."""
    if task is not None and task not in TASK_PROMPTS:
        raise UsageError(f"unknown task {task!r}; known: {', '.join(TASK_PROMPTS)}")
    if task == "locate" and not locate:
        raise UsageError("the task locate needs --locate TEXT, what is to be found")
    if locate is not None and task not in (None, "locate"):
        raise UsageError(f"--locate belongs to --task locate, not to {task}; leave one out")
    if locate is not None and ("<|" in locate or "<image>" in locate):
        raise UsageError("--locate: a special token stands in the text; name what is printed")
