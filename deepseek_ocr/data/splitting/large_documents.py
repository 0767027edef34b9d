"""Documents so large that the shares of samples are not those of documents, told with the reason.

A share counts documents. Where a rule takes hundreds of pictures for pages of one, as the running
number of a camera looks like a page's, a tenth of the documents may be most of the samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..problems import printable
from .columns import SampleColumns
from .config import SIDES, SplitConfig
from .joined_documents import JoinedDocuments
from .near_duplicates import AnnotationAt

FEW_SAMPLES = 5
"""No split is exact: a side may have so many more or fewer than asked without a word."""
FAR = 2.0  # times what was asked, or its inverse


def largest_document(
    columns: SampleColumns, documents: JoinedDocuments, group_by: str, annotation_at: AnnotationAt
) -> str:
    """`40 samples are one document, IMG: a number at the end (...) counts as its page`."""
    largest = np.bincount(documents.of_place).argmax()
    places = np.flatnonzero(documents.of_place == largest)
    name = printable(columns.names[int(documents.first_names[largest])])
    why = _why(columns, documents.members == largest, places, group_by, annotation_at)
    return f"{len(places)} of {len(columns)} samples are one document, {name}: {why}"


def uneven_shares(
    columns: SampleColumns,
    documents: JoinedDocuments,
    side_of: NDArray[np.int8],
    config: SplitConfig,
    annotation_at: AnnotationAt,
) -> str | None:
    """A line for people where a document holds most samples, or makes the shares far from asked.

    `side_of`, (documents,), as `assign_sides` gives it.
    """
    sizes = np.bincount(documents.of_place)
    largest = int(sizes.max())
    most = 2 * largest > len(columns)
    found = np.bincount(side_of, weights=sizes, minlength=len(SIDES)).astype(int)
    far = [
        f"{side} has {found[number] / len(columns):.0%} of the samples, not {share:.0%}"
        for number, side in enumerate(SIDES)
        if (share := _asked(side, config)) and _is_far(found[number], share * len(columns))
    ]
    if largest <= FEW_SAMPLES or not (most or far):  # smaller ones are uneven by chance alone
        return None
    told = largest_document(columns, documents, config.group_by, annotation_at)
    so = f", so {' and '.join(far)}" if far else ""
    return f"{told}{so}; {advice(config.group_by)}"


def advice(group_by: str) -> str:
    """What makes smaller documents."""
    if group_by == "none":
        return "take out the copies, or see --near_duplicates"
    return "if these are several documents, use --group_by none, or a REGEX of the path"


def _asked(side: str, config: SplitConfig) -> float:
    """The share of a side, 0 where none was asked for: it has a number, or takes the rest."""
    size = {"test": config.test_size, "val": config.val_size}.get(side, 0.0)
    return size if size < 1 else 0.0


def _is_far(found: int, asked: float) -> bool:
    is_far = found > FAR * asked or found < asked / FAR
    return is_far and abs(found - asked) > FEW_SAMPLES


def _why(
    columns: SampleColumns,
    is_member: NDArray[np.bool_],
    places: NDArray[np.intp],
    group_by: str,
    annotation_at: AnnotationAt,
) -> str:
    """What makes one document of the samples at `places`."""
    if (joined := int(is_member.sum())) > 1:
        return f"{joined} documents share pages or near-duplicates (joined in manifest.json)"
    if group_by != "document":
        return f"--group_by {printable(group_by)} says so"
    first, last = (annotation_at(int(place)) for place in (places[0], places[-1]))
    if first.group is not None:
        return "the dataset says so"
    if not first.images or not last.images:
        return "its samples have one name"
    one, other = printable(first.images[0]), printable(last.images[-1])
    if one.partition("#")[0] == other.partition("#")[0]:
        return "all show the same file"
    return f"a number at the end of a name ({one} ... {other}) counts as its page number"
