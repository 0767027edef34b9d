"""Conversations, in every way that tools for training write them -> one question, one answer.

| a turn | written by |
|---|---|
| `{"from": "human", "value": ...}`, `gpt` | LLaVA, GOT, ShareGPT |
| `{"role": "user", "content": ...}`, `assistant` | OpenAI, TRL, LLaMA-Factory, ms-swift |
| `{"role": "<|User|>", "content": ..., "images": [...]}` | Unsloth for DeepSeek-OCR |
| `{"human": ..., "assistant": ...}`, both turns in one | ms-swift's ShareGPT |

A content is a string or a list of parts, texts and pictures. What the system says stands in front
of the question, a newline between, for both are what the model is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..annotations import IMAGE_TOKEN
from ..json_files.strict import json_type
from ..pages.embedded import INSIDE_PART, embedded_pictures
from ._unusable import Unusable

TURN_KEYS = ("messages", "conversations", "conversation")
SYSTEM_KEYS = ("system", "system_prompt")
CONVERSATION = "conversation"

_ROLES = {
    **dict.fromkeys(("human", "user", "<|user|>"), "user"),
    **dict.fromkeys(("gpt", "assistant", "model", "chatgpt", "bot", "<|assistant|>"), "assistant"),
    **dict.fromkeys(("system", "<|system|>", "developer"), "system"),
}
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
_PICTURE_PARTS = frozenset({"image", "image_url", "input_image", "image_path"})


class _Turn(NamedTuple):
    """`num_pictures` are those that are parts of its content."""

    role: str
    text: str
    num_pictures: int


def turns_of(value: Mapping[str, Any]) -> Any:
    """What a row has under the key of a conversation; None without one."""
    for key in TURN_KEYS:
        if value.get(key) is not None:
            return value[key]
    return None


def question_and_answer(value: Mapping[str, Any], turns: Any) -> tuple[str, str]:
    """The prompt and the answer of a conversation; `value` is the row that holds it.

    Raises:
        Unusable: it is no conversation of one question and one answer.
    """
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise Unusable(CONVERSATION, "a conversation: expected a list of objects")
    said = [turn for written in turns for turn in _turns_in(written)]
    _check_order([turn.role for turn in said])
    *system, question, answer = said
    if answer.num_pictures:
        raise Unusable(CONVERSATION, "a picture in the answer; expected text alone")
    if turns[-1].get("loss") is False:
        reason = "the answer has loss: false, so that nothing of it would be learned"
        raise Unusable(CONVERSATION, reason)
    _check_pictures_are_there(value, question.num_pictures)
    before = [system_prompt(value), *(turn.text for turn in system)]
    return with_system(before, question.text), answer.text


def system_prompt(value: Mapping[str, Any]) -> str:
    """What a row says for the system beside its turns, or ""."""
    for key in SYSTEM_KEYS:
        if isinstance(value.get(key), str):
            return value[key]
    return ""


def with_system(before: list[str], question: str) -> str:
    """The prompt of what the system says and of the question; blank parts add nothing."""
    return "\n".join([*(text for text in before if text.strip()), question])


def _turns_in(turn: Mapping[str, Any]) -> Iterator[_Turn]:
    if "from" in turn or "role" in turn:
        role = str(turn.get("from", turn.get("role")))
        text, num_pictures = _content(turn.get("value", turn.get("content")), role)
        yield _Turn(_ROLES.get(role.strip().lower(), role), text, num_pictures)
        return
    known = {_ROLES[key]: turn[key] for key in turn if key in _ROLES and turn[key] is not None}
    for role in ("system", "user", "assistant"):
        if role in known:
            yield _Turn(role, *_content(known[role], role))
    if not known:
        found = ", ".join(list(turn)[:8]) or "nothing"
        expected = "expected 'from' and 'value', or 'role' and 'content'"
        reason = f"a turn of a conversation has {found}; {expected}"
        raise Unusable(CONVERSATION, reason)


def _content(content: Any, role: str) -> tuple[str, int]:
    """The text of a turn and how many pictures are parts of it."""
    if isinstance(content, str):
        return content, 0
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise Unusable(
            CONVERSATION,
            f"a turn of a conversation: expected its text as a string, found {json_type(content)}",
        )
    pieces = [_part(part) for part in content]
    num_pictures = sum(piece is None for piece in pieces)
    texts = [piece for piece in pieces if piece is not None]
    if _ROLES.get(role.lower()) == "assistant":
        return "".join(texts), num_pictures
    if num_pictures and _in_between(pieces) and not any(IMAGE_TOKEN in text for text in texts):
        texts = [IMAGE_TOKEN if piece is None else piece for piece in pieces]
    return "\n".join(texts), num_pictures


def _part(part: Any) -> str | None:
    """The text of a part, or None for a picture."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise Unusable(CONVERSATION, f"a part of a turn is {json_type(part)}; expected an object")
    kind = part.get("type")
    if isinstance(part.get("text"), str) and (kind is None or kind in _TEXT_PARTS):
        return part["text"]
    if kind in _PICTURE_PARTS or (kind is None and any(part.get(k) for k in INSIDE_PART)):
        return None
    found = f"a part of type {kind!r}"[:80] if kind is not None else "a part without type"
    raise Unusable(CONVERSATION, f"{found} in a turn; expected texts and pictures")


def _in_between(pieces: list[str | None]) -> bool:
    """Whether texts stand on both sides of a picture: then its place matters.

    Else pictures go first, wherever they stand, as servers of the model have it.
    """
    texts = [number for number, piece in enumerate(pieces) if piece is not None]
    return bool(texts) and any(piece is None for piece in pieces[texts[0] : texts[-1]])


def _check_order(roles: list[str]) -> None:
    if roles.count("assistant") > 1 or roles.count("user") > 1:
        reason = (
            "a conversation's later turns are not supported; expected one question and one answer"
        )
        raise Unusable(CONVERSATION, reason)
    if roles[-2:] != ["user", "assistant"] or any(role != "system" for role in roles[:-2]):
        found = ", ".join(roles)[:200] or "no turns"
        reason = (
            f"a conversation of {found}; expected a turn of the user, then one of the assistant"
        )
        raise Unusable(CONVERSATION, reason)


def _check_pictures_are_there(value: Mapping[str, Any], num_shown: int) -> None:
    if num_shown and num_shown != (found := len(embedded_pictures(value))):
        reason = f"the conversation shows {num_shown} pictures, the row names {found}"
        raise Unusable(CONVERSATION, reason)


def refuse_history(value: Mapping[str, Any]) -> None:
    """Earlier turns beside the question and the answer would be lost.

    Raises:
        Unusable: there are some.
    """
    if value.get("history"):
        reason = (
            "a conversation's earlier turns ('history') are not supported; "
            "expected one question and one answer"
        )
        raise Unusable(CONVERSATION, reason)


def string_or_nothing(value: Mapping[str, Any], key: str) -> str | None:
    """The string under a key; None where it is absent or null.

    Raises:
        Unusable: it is something else.
    """
    found = value.get(key)
    if found is not None and not isinstance(found, str):
        raise Unusable("bad value", f"{key!r} is {json_type(found)}; expected a string")
    return found
