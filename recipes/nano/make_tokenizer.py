"""Train the tokenizer of `nano` on drawn texts, and write the preset's folder without weights.

    python recipes/nano/make_tokenizer.py

A byte-level BPE of 1,024 entries with the published pre-tokenizer and the published special tokens
in their published order (its 800 place holders, which no text holds, are left out). The same
versions of Python and `tokenizers` give the same file.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from deepseek_ocr.data.synthetic import sample_texts
from deepseek_ocr.model import DeepseekOcrImageProcessor, DeepseekOcrProcessor
from deepseek_ocr.model.presets import NANO_FOLDER, nano_config
from deepseek_ocr.model.processing import make_tokenizer

VOCABULARY = 1024
NUM_TEXTS = 20_000
KINDS = ("lines", "letters", "receipts", "tables", "invoices", "lists", "book")
MAX_TOKEN_CHARACTERS = 8

# Of each channel, about the mean and the deviation of printed pages: where white paper is near 0,
# the first letters are learned from a third of the pictures that the published 0.5 and 0.5 take.
PAPER, INK = (0.9, 0.9, 0.9), (0.25, 0.25, 0.25)

# content, special, normalized: as in the published tokenizer.json, in the order of their ids
SPECIAL_TOKENS = [
    ("<｜begin▁of▁sentence｜>", True, False),
    ("<｜end▁of▁sentence｜>", True, False),
    ("<｜▁pad▁｜>", True, False),
    ("<｜fim▁hole｜>", False, True),
    ("<｜fim▁begin｜>", False, True),
    ("<｜fim▁end｜>", False, True),
    ("<｜User｜>", False, True),
    ("<｜Assistant｜>", False, True),
    ("<|EOT|>", True, True),
    ("<｜tool▁calls▁begin｜>", False, True),
    ("<｜tool▁calls▁end｜>", False, True),
    ("<｜tool▁call▁begin｜>", False, True),
    ("<｜tool▁call▁end｜>", False, True),
    ("<｜tool▁outputs▁begin｜>", False, True),
    ("<｜tool▁outputs▁end｜>", False, True),
    ("<｜tool▁output▁begin｜>", False, True),
    ("<｜tool▁output▁end｜>", False, True),
    ("<｜tool▁sep｜>", False, True),
    ("<image>", True, False),
    ("<|ref|>", True, False),
    ("<|/ref|>", True, False),
    ("<|det|>", True, False),
    ("<|/det|>", True, False),
    ("<|grounding|>", True, False),
    ("<td>", True, False),
    ("</td>", True, False),
    ("<tr>", True, False),
    ("</tr>", True, False),
    ("<|User|>", True, False),
    ("<|Assistant|>", True, False),
]

# model_spec.md, section 6: DeepSeek-V3's three splits, then bytes
SPLITS = [
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
]


def training_texts() -> Iterator[str]:
    """Drawn texts as they are, and every third in capitals, as many receipts are printed."""
    for index, text in enumerate(sample_texts(seed=0, count=NUM_TEXTS, kinds=KINDS)):
        yield text.upper() if index % 3 == 0 else text


def main() -> None:
    """Train, and write `deepseek_ocr/presets/nano/`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(split), "isolated") for split in SPLITS]
        + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    added = [AddedToken(c, special=s, normalized=n) for c, s, n in SPECIAL_TOKENS]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=added,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        max_token_length=MAX_TOKEN_CHARACTERS,
        show_progress=False,
    )
    tokenizer.train_from_iterator(training_texts(), trainer)
    folder = Path(NANO_FOLDER)
    shutil.rmtree(folder, ignore_errors=True)
    processor = DeepseekOcrProcessor(
        DeepseekOcrImageProcessor(mode="tiny", image_mean=PAPER, image_std=INK),
        make_tokenizer(tokenizer),
    )
    processor.save_pretrained(folder)
    nano_config(image_token_id=processor.image_id).save_pretrained(folder)


if __name__ == "__main__":
    main()
