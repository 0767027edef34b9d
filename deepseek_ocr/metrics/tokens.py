"""How many text tokens one vision token stands for.

DeepSeek-OCR (arXiv 2510.18234, table 2): text tokens of the truth by the model's own tokenizer /
tokens that the encoder makes of the page, its newline and separator embeddings not counted. What
the decoder reads is more: h * (w + 1) + 1 positions for a grid of h x w tokens, 111 for 100.
"""

from __future__ import annotations

from collections.abc import Sequence


def compression(
    num_text_tokens: int | None, num_vision_tokens: int | None, num_decoder_tokens: int | None
) -> dict[str, float | None]:
    """Text tokens a vision token: `paper` of the encoder's, `decoder` of the positions it takes.

    None where a count is not known or there is no vision token (a row without a page).
    """
    return {
        "paper": _ratio(num_text_tokens, num_vision_tokens),
        "decoder": _ratio(num_text_tokens, num_decoder_tokens),
    }


def summarize_compression(
    counts: Sequence[tuple[int | None, int | None, int | None]],
) -> dict[str, float | int | None]:
    """`compression` of all rows together (sums, then ratios), from each row's three counts.

    Rows of which a count is unknown, or without a page, do not take part; `num_rows` did.
    """
    known = [row for row in counts if row[0] is not None and row[1] and row[2]]
    text, vision, decoder = (sum(row[i] or 0 for row in known) for i in range(3))
    return {**compression(text, vision, decoder), "num_rows": len(known)}


def _ratio(num_text_tokens: int | None, num_tokens: int | None) -> float | None:
    return None if num_text_tokens is None or not num_tokens else num_text_tokens / num_tokens
