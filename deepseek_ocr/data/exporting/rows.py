"""An annotation -> a row as another tool writes it; `exporting` makes files of them."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from ..annotations import IMAGE_TOKEN, Annotation
from ..json_files.numbers import json_text
from ..json_files.strict import RowError, decode_whole

_encode = json.JSONEncoder(ensure_ascii=False).encode

TABLE_COLUMNS = ("id", "image", "prompt", "text", "regions", "group", "lang")


def own_row(annotation: Annotation) -> dict[str, Any]:
    """As `train.json` has it."""
    return annotation.to_json()


def imagefolder_row(annotation: Annotation) -> dict[str, Any]:
    """Hugging Face: `{"file_name", "text"}`."""
    asked = {"prompt": annotation.prompt} if annotation.prompt else {}
    return _file_names(annotation) | asked | {"text": annotation.text}


def donut_row(annotation: Annotation) -> dict[str, Any]:
    """`{"file_name", "ground_truth"}`, a string of JSON with `gt_parse`."""
    truth = json_text({"gt_parse": _parse_of(annotation.text)})
    asked = {"prompt": annotation.prompt} if annotation.prompt else {}
    return _file_names(annotation) | asked | {"ground_truth": truth}


def _parse_of(text: str) -> Any:
    """Fields, where the text is exactly their JSON; else the text of a page."""
    if text.startswith("{"):
        with contextlib.suppress(RowError, RecursionError):
            fields = decode_whole(text, keep_numbers=True)
            if list(fields) != ["text_sequence"] and json_text(fields) == text:
                return fields
    return {"text_sequence": text}


def _file_names(annotation: Annotation) -> dict[str, Any]:
    if not annotation.images:
        return {"images": []}
    if len(annotation.images) == 1:
        return {"file_name": annotation.images[0]}
    return {"file_names": list(annotation.images)}


def llava_row(annotation: Annotation) -> dict[str, Any]:
    """`{"id", "image", "conversations"}`."""
    images = list(annotation.images)
    named: dict[str, Any] = {"image": images[0] if len(images) == 1 else images} if images else {}
    return {"id": annotation.id} | named | {"conversations": _from_human(annotation)}


def sharegpt_row(annotation: Annotation) -> dict[str, Any]:
    """`{"conversations", "images"}`."""
    return {"conversations": _from_human(annotation), "images": list(annotation.images)}


def _from_human(annotation: Annotation) -> list[dict[str, str]]:
    return [
        {"from": "human", "value": annotation.prompt},
        {"from": "gpt", "value": annotation.text},
    ]


def swift_row(annotation: Annotation) -> dict[str, Any]:
    """`{"messages", "images", "objects"}`."""
    row = {"messages": _messages(annotation.prompt, annotation.text)}
    row["images"] = list(annotation.images)
    if annotation.regions:
        row["objects"] = {
            "ref": [region.label for region in annotation.regions],
            "bbox": [[float(side) for side in region.box] for region in annotation.regions],
            "bbox_type": "real",
            "image_id": [region.image for region in annotation.regions],
        }
    return row


def _messages(question: Any, answer: Any) -> Any:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def openai_row(annotation: Annotation) -> dict[str, Any]:
    """`{"messages"}` whose contents are parts."""
    images = [{"type": "image_url", "image_url": {"url": i}} for i in annotation.images]
    return {"messages": _messages(_parts(annotation, images), annotation.text)}


def trl_row(annotation: Annotation) -> dict[str, Any]:
    """`{"messages", "images"}`, contents as parts."""
    marks = [{"type": "image"} for _ in annotation.images]
    answer = [{"type": "text", "text": annotation.text}]
    messages = _messages(_parts(annotation, marks), answer)
    return {"messages": messages, "images": list(annotation.images)}


def _parts(annotation: Annotation, images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The prompt as parts, its `<image>` replaced by pictures; a newline beside one is its own."""
    texts = annotation.prompt.split(IMAGE_TOKEN)
    if len(texts) != len(images) + 1:
        return [*images, {"type": "text", "text": annotation.prompt}]
    parts = []
    for number, text in enumerate(texts):
        text = text.removeprefix("\n") if number else text
        text = text.removesuffix("\n") if number < len(images) else text
        parts += [{"type": "text", "text": text}] if text else []
        parts += images[number : number + 1]
    return parts


def unsloth_row(annotation: Annotation) -> dict[str, Any]:
    """`{"messages"}` that hold their pictures."""
    question = {"role": "<|User|>", "content": annotation.prompt}
    answer = {"role": "<|Assistant|>", "content": annotation.text}
    return {"messages": [question | {"images": list(annotation.images)}, answer]}


def alpaca_row(annotation: Annotation) -> dict[str, Any]:
    """`{"instruction", "input", "output", "images"}`."""
    return {
        "instruction": annotation.prompt,
        "input": "",
        "output": annotation.text,
        "images": list(annotation.images),
    }


def table_row(annotation: Annotation) -> dict[str, Any]:
    """Cells under `TABLE_COLUMNS`; several pictures as JSON."""
    images = list(annotation.images)
    row = annotation.to_json()
    return {
        "id": annotation.id,
        "image": images[0] if len(images) == 1 else _encode(images),
        "prompt": annotation.prompt,
        "text": annotation.text,
        "regions": _encode(row["regions"]) if annotation.regions else "",
        "group": annotation.group or "",
        "lang": annotation.lang or "",
    }
