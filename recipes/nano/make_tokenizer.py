"""Make the tokenizer of `nano`, and write the preset's folder without weights.

    python recipes/nano/make_tokenizer.py

Byte-level, as the published one, but without merges: one token a byte, and the published special
tokens in their published order (its 800 place holders, which no text holds, are left out). A model
this small sees each letter in every picture, but each of a thousand syllables only now and then: it
learns to read letters sooner. The same versions of `tokenizers` give the same file.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from deepseek_ocr.model import DeepseekOcrImageProcessor, DeepseekOcrProcessor
from deepseek_ocr.model.presets import NANO_FOLDER, nano_config
from deepseek_ocr.model.processing import make_tokenizer

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


def main() -> None:
    """Write `deepseek_ocr/presets/nano/`."""
    words = [word for word, _, _ in SPECIAL_TOKENS] + sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(split), "isolated") for split in SPLITS]
        + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(c, special=s, normalized=n) for c, s, n in SPECIAL_TOKENS])
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
