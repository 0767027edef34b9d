"""Answers in JSON against the true JSON: field F1 and tree edit accuracy, as Donut scores them.

Definitions of `JSONParseEvaluator` in github.com/clovaai/donut (`donut/util.py`). Before comparing,
keys are sorted, values become text without white space at their ends, and what is empty (null, "",
{}, []) is left out. Then

* a field is a path of keys with its text; the places in lists do not count. Of all rows together,
  F1 = 2 TP / (2 TP + FP + FN);
* tree edit accuracy = max(0, 1 - TED(prediction, truth) / TED(nothing, truth)), where a key costs 1
  and a text as many as its characters; of rows the mean.

Beyond Donut, whose data has texts only: 0 and false are values, true and false are written so, and
a list may mix objects, lists and texts.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rapidfuzz.distance import Levenshtein

from .text import mean
from .tree_edit import Node, tree_edit_distance

MAX_CHARS = 1_000_000
"""Longer texts are not read."""
MAX_DEPTH = 64
"""JSON nested deeper is not read."""
MAX_NODES = 1_000
"""A truth whose tree is larger has no tree edit accuracy; a prediction twice as large scores 0."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)

Path = tuple[str, ...]
Json = dict[str, Any] | list[Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldScore:
    """One prediction against one truth, in fields.

    `tree_edit_accuracy` is 0 to 1, None where the truth's tree is too large. `reason` says why a
    prediction could not be read; then all fields of the truth are missed.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    tree_edit_accuracy: float | None
    exact: bool
    reason: str | None = None

    @property
    def f1(self) -> float | None:
        """2 TP / (2 TP + FP + FN); None where neither side has a field."""
        return _f1(self.true_positives, self.false_positives, self.false_negatives)


class UnreadableError(ValueError):
    """A text that is no JSON object or array, or beyond the limits; the message says which."""


def field_score(prediction: str, truth: str) -> FieldScore | None:
    """Scores one answer; None if the truth is no JSON object and no list of objects.

    A list without objects is none: `[12]` is a line of many a page.
    """
    try:
        true = read_json(truth)
    except UnreadableError:
        return None
    if isinstance(true, list) and not (true and all(isinstance(item, dict) for item in true)):
        return None
    true_tree = _tree(true)
    true_fields = Counter(_fields(true_tree))
    try:
        predicted = read_json(prediction)
    except UnreadableError as error:
        return FieldScore(
            true_positives=0,
            false_positives=0,
            false_negatives=true_fields.total(),
            tree_edit_accuracy=0.0,
            exact=False,
            reason=str(error),
        )
    tree = _tree(predicted)
    fields = Counter(_fields(tree))
    found = (fields & true_fields).total()
    return FieldScore(
        true_positives=found,
        false_positives=fields.total() - found,
        false_negatives=true_fields.total() - found,
        tree_edit_accuracy=_tree_edit_accuracy(tree, true_tree),
        exact=tree == true_tree,
    )


def summarize_fields(scores: Sequence[FieldScore]) -> dict[str, Any]:
    """Rates of all rows together, in any order; None of nothing.

    `exact` is the share of rows with all fields right and none spare; `num_unreadable` counts
    predictions that are no JSON, `num_too_large` truths without tree edit accuracy.
    """
    tp = sum(score.true_positives for score in scores)
    fp = sum(score.false_positives for score in scores)
    fn = sum(score.false_negatives for score in scores)
    accuracies = [s.tree_edit_accuracy for s in scores if s.tree_edit_accuracy is not None]
    return {
        "f1": _f1(tp, fp, fn),
        "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / (tp + fn) if tp + fn else None,
        "tree_edit_accuracy": mean(accuracies),
        "exact": mean([score.exact for score in scores]),
        "num_rows": len(scores),
        "num_unreadable": sum(score.reason is not None for score in scores),
        "num_too_large": len(scores) - len(accuracies),
    }


def _f1(tp: int, fp: int, fn: int) -> float | None:
    total = 2 * tp + fp + fn
    return 2 * tp / total if total else None


def read_json(text: str) -> Json:
    """The object or array that the text is, nothing around it but white space.

    Raises:
        UnreadableError: it is none, or longer or deeper than the limits of this module.
    """
    if not text.lstrip().startswith(("{", "[")):
        raise UnreadableError("it does not begin as a JSON object or array")
    if len(text) > MAX_CHARS:
        raise UnreadableError(f"it has {len(text):,} characters, more than {MAX_CHARS:,}")
    depth = 0
    for token in _TOKEN.findall(text):
        depth += (token in "[{") - (token in "]}")
        if depth > MAX_DEPTH:  # before the parser, which would end in a RecursionError
            raise UnreadableError(f"it is nested more than {MAX_DEPTH} deep")
    try:
        return json.loads(text, parse_int=_whole_number, parse_constant=_refuse)
    except UnreadableError:
        raise
    except ValueError as error:
        raise UnreadableError(f"it is no JSON: {error}") from error


def _whole_number(digits: str) -> int | str:
    return int(digits) if len(digits) < 100 else digits  # Python refuses thousands of digits


def _refuse(name: str) -> None:
    raise UnreadableError(f"it is no JSON: {name} is no number")


@dataclasses.dataclass(frozen=True, slots=True)
class _Text:
    """Label of a leaf: a value as text. Labels of inner nodes are plain strings."""

    text: str


_OBJECT, _ROOT = "\0object", "\0root"
"""Labels of an object or list within a list, and of the whole; no key of a document is so named."""


def _tree(value: Json) -> Node[str | _Text]:
    return Node(_ROOT, _children(value))


def _children(value: Any) -> tuple[Node[str | _Text], ...]:
    """What a value holds, as nodes; nothing of what is empty."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (len(key), key))
        # As in Donut, an object below a key is a list of one.
        inner = ((key, _children(_as_list(value[key]))) for key in keys)
        return tuple(Node(key, children) for key, children in inner if children)
    if isinstance(value, list):
        return tuple(child for item in value for child in _item(item))
    text = _text_of(value)
    return (Node(_Text(text)),) if text else ()


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


def _item(value: Any) -> tuple[Node[str | _Text], ...]:
    """The node of a list's item: of an object or list one that holds its own."""
    children = _children(value)
    if isinstance(value, dict | list):
        return (Node(_OBJECT, children),) if children else ()
    return children


def _text_of(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def _fields(node: Node[str | _Text], path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every text with the keys that lead to it."""
    for child in node.children:
        if isinstance(child.label, _Text):
            yield path, child.label.text
        else:
            named = child.label is not _OBJECT
            yield from _fields(child, (*path, child.label) if named else path)


def _tree_edit_accuracy(predicted: Node[str | _Text], truth: Node[str | _Text]) -> float | None:
    """max(0, 1 - TED(prediction, truth) / TED(nothing, truth)); of an empty truth 1 or 0."""
    size, true_size = _size(predicted), _size(truth)
    if true_size > MAX_NODES:
        return None
    if predicted == truth:
        return 1.0
    weight, true_weight = _weight(predicted), _weight(truth)
    # No distance is below the difference in weight, so answers in a loop cost no time.
    if abs(weight - true_weight) >= true_weight or size > 2 * MAX_NODES:
        return 0.0
    distance = tree_edit_distance(predicted, truth, cost=_cost, renaming=_renaming)
    return max(0.0, 1 - distance / true_weight)


def _size(node: Node) -> int:
    return 1 + sum(map(_size, node.children))


def _weight(node: Node[str | _Text]) -> int:
    """Cost of all nodes below this one: the distance from nothing."""
    return sum(_cost(child.label) + _weight(child) for child in node.children)


def _cost(label: str | _Text) -> int:
    return len(label.text) if isinstance(label, _Text) else 1


def _renaming(one: str | _Text, other: str | _Text) -> int:
    if isinstance(one, _Text) and isinstance(other, _Text):
        return Levenshtein.distance(one.text, other.text)
    if isinstance(one, _Text):
        return 1 + len(one.text)
    if isinstance(other, _Text):
        return 1 + len(other.text)
    return int(one != other)
