"""Changes to the true text that a user may ask for with `--normalize`, by name.

Ground truth is kept as written unless they are asked for; the manifest says which were. However
they are named, they are made in the order of `NORMALIZERS`, again until nothing changes any more,
so that a dataset that was normalised once stays as it is.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from ...errors import UsageError
from ..annotations import Annotation
from .structures import Block, Fields, Formula, Table, TextBlock

Normalizer = Callable[[str], str]

NONE = "none"
MAX_ROUNDS = 8  # two are enough for all texts that were tried

_LINE_END = re.compile(r"\r\n?|[\u2028\u2029\x0b\x0c\x85]")
_OTHER_BLANK = re.compile(r"[\t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_BLANKS = re.compile(r"[ \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_SMALL_E_ABOVE = re.compile("([aouAOU])\u0364")
_JSON_STRING = re.compile(r'"(?:[^"\\]+|\\.)*+"(?P<is_key>\s*:)?')

_LETTERS = str.maketrans(
    {"ſ": "s", "ꝛ": "r", "Ꝛ": "R", "\ue42c": "ä", "\ue644": "ö", "\ue72b": "ü"}
)  # the last three: a, o, u with a small e above, in the private area; https://mufi.info
_LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "ſt", "ﬆ": "st"}
)
_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»″〝〞〟＂", '"') | dict.fromkeys("‘’‚‛‹›′＇", "'"))
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−⸗⹀﹘﹣－", "-"))
_NOT_SIGN = re.compile(r"¬(?=\n|\Z)")
_INVISIBLE = re.compile(r"[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")


def compose(text: str) -> str:
    """Unicode NFC: a letter and a combining accent become the accented letter."""
    return unicodedata.normalize("NFC", text)


def compose_compatible(text: str) -> str:
    """Unicode NFKC: as NFC, and a form of a character becomes the plain one (ﬁ: fi, ²: 2, ſ: s)."""
    return unicodedata.normalize("NFKC", text)


def modern_letters(text: str) -> str:
    """Letters of old prints become today's: ſ: s, ꝛ: r; a, o, u with a small e above: ä, ö, ü."""
    text = text.translate(_LETTERS)
    return _SMALL_E_ABOVE.sub(lambda match: compose(match[1] + "\u0308"), text)


def part_ligatures(text: str) -> str:
    """Ligatures that are characters of their own become letters: ﬁ: fi."""
    return text.translate(_LIGATURES)


def plain_quotes(text: str) -> str:
    """Typographic quotation marks, apostrophes and primes become " and '."""
    return text.translate(_QUOTES)


def plain_dashes(text: str) -> str:
    """Every dash, hyphen and minus sign becomes -, the double hyphen of Fraktur too.

    So does ¬ at the end of a line, with which transcribers write a hyphen.
    """
    return _NOT_SIGN.sub("-", text.translate(_DASHES))


def drop_invisible(text: str) -> str:
    """Removes what has no ink: soft hyphens, zero-width blanks, byte order and direction marks.

    The joiners U+200C and U+200D stay: they change how Persian and Indic letters look.
    """
    return _INVISIBLE.sub("", text)


def plain_blanks(text: str) -> str:
    """A run of blanks becomes one, none at the end of a line; every line end becomes a newline.

    Lines stay lines, and an indented line keeps one blank in front.
    """
    text = _LINE_END.sub("\n", text)
    if "  " in text or _OTHER_BLANK.search(text):  # five times faster where there are none
        text = _BLANKS.sub(" ", text)
    return text.replace(" \n", "\n").removesuffix(" ")


NORMALIZERS: dict[str, Normalizer] = {
    "nfkc": compose_compatible,
    "nfc": compose,
    "invisible": drop_invisible,
    "ligatures": part_ligatures,
    "letters": modern_letters,
    "quotes": plain_quotes,
    "dashes": plain_dashes,
    "blanks": plain_blanks,
}


def check_normalization(names: str) -> None:
    """Check a value of `--normalize`: `none`, or names joined by `+`.

    Raises:
        UsageError: a name is not known.
    """
    for name in names.split("+") if names != NONE else ():
        if name not in NORMALIZERS:
            known = "+".join(NORMALIZERS)
            raise UsageError(
                f"--normalize: unknown name {name!r}; expected {NONE} or some of {known}"
            )


def normalized_truth(text: str, names: str) -> str:
    """A text with the changes of `names` (`none`, or names joined by `+`) made to it.

    Of a text that is JSON only the strings inside change, but for keys.
    """
    if names == NONE or not text:
        return text
    normalize = functools.partial(_normalized, names=frozenset(names.split("+")))
    if text.lstrip()[:1] in ("{", "[") and _is_json(text):
        return _JSON_STRING.sub(lambda match: _json_string(match, normalize), text)
    return normalize(text)


def normalize_annotation(annotation: Annotation, names: str) -> Annotation:
    """A sample as read, with its text, and those of its regions and structure, normalised.

    To be called before a target is rendered: quotation marks must not change in finished JSON. Keys
    of fields and labels are names, not truth; they stay.
    """
    if names == NONE:
        return annotation
    return dataclasses.replace(
        annotation,
        text=normalized_truth(annotation.text, names),
        regions=tuple(
            dataclasses.replace(region, text=normalized_truth(region.text, names))
            for region in annotation.regions
        ),
        structure=tuple(_normalized_block(block, names) for block in annotation.structure),
    )


def _normalized(text: str, names: frozenset[str]) -> str:
    steps = [step for name, step in NORMALIZERS.items() if name in names]
    for _ in range(MAX_ROUNDS):
        before = text
        for step in steps:
            text = step(text)
        if text == before:
            break
    return text


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _json_string(match: re.Match[str], normalize: Normalizer) -> str:
    """A string as JSON writes it, with its content normalised; a key as it is."""
    if match["is_key"]:
        return match[0]
    before = json.loads(match[0])
    after = normalize(before)
    return match[0] if after == before else json.dumps(after, ensure_ascii=False)


def _normalized_block(block: Block, names: str) -> Block:
    if isinstance(block, TextBlock):
        return dataclasses.replace(block, text=normalized_truth(block.text, names))
    if isinstance(block, Formula):
        return Formula(latex=normalized_truth(block.latex, names))
    if isinstance(block, Table):
        cells = (dataclasses.replace(c, text=normalized_truth(c.text, names)) for c in block.cells)
        return Table(cells=tuple(cells))
    assert isinstance(block, Fields)
    return Fields(value=_normalized_value(block.value, names))


def _normalized_value(value: Any, names: str) -> Any:
    if isinstance(value, str):
        return normalized_truth(value, names)
    if isinstance(value, list):
        return [_normalized_value(member, names) for member in value]
    if isinstance(value, dict):
        return {key: _normalized_value(member, names) for key, member in value.items()}
    return value
