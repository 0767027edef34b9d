"""Whether the inputs of one forward pass fit each other: ids, pictures, packed rows.

Letters: B rows, N positions, D width of the decoder.
"""

from __future__ import annotations

from torch import Tensor


def check_image_embeds(
    image_embeds: Tensor, width: int, reserved: int, pixel_values: Tensor | None
) -> None:
    """Compare image tokens that were made before with those that the ids reserve.

    Raises:
        ValueError: they are given beside views, or are not (reserved, width).
    """
    if pixel_values is not None:
        raise ValueError("give either image_embeds or pixel_values, not both")
    if image_embeds.ndim != 2 or image_embeds.shape[1] != width:
        raise ValueError(
            f"image_embeds of shape {tuple(image_embeds.shape)}, expected (image tokens, {width}): "
            f"what encode_images gives, end to end"
        )
    if len(image_embeds) != reserved:
        raise ValueError(
            f"the prompts reserve {reserved} image tokens but image_embeds hold "
            f"{len(image_embeds)}; both must come from the same pages and views"
        )


def check_segments(segment_ids: Tensor, x: Tensor, cached: bool | None) -> None:
    """Whether packed rows can be computed.

    Raises:
        ValueError: `segment_ids` do not number each position, or are given with a cache.
    """
    if segment_ids.shape != x.shape[:2]:
        raise ValueError(
            f"segment_ids of shape {tuple(segment_ids.shape)}, expected {tuple(x.shape[:2])}: one "
            f"number a position"
        )
    if cached:
        raise ValueError("segment_ids are for training: packed rows have no cache")


def check_reserved(reserved: list[int], produced: list[int]) -> None:
    """Compare the image tokens that each row reserves with those of the pictures, in order.

    Raises:
        ValueError: a row's count is not the sum of its next pictures' counts.
    """
    remaining = list(enumerate(produced, start=1))
    for row, wanted in enumerate(reserved, start=1):
        found = 0
        while remaining and found < wanted:
            _, tokens = remaining.pop(0)
            found += tokens
        if found != wanted:
            raise ValueError(
                f"row {row} of the batch reserves {wanted} image tokens but its pictures produced "
                f"{found}; prompt and views must come from one call of the processor"
            )
    if remaining:
        tokens = sum(count for _, count in remaining)
        raise ValueError(
            f"the prompts reserve {sum(reserved)} image tokens but the pictures produced "
            f"{sum(produced)}: picture {remaining[0][0]} and later ({tokens} tokens) have no place"
        )
