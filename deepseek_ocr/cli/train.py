"""`train.py`: a model and a train file -> checkpoints, curves and logs.

python train.py --data_root /path/to/ocr_data --train_file ./data_split/train.json \
    --model_path /path/to/deepseek-ocr-model --output_dir ./checkpoints
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..errors import EXIT_OK
from ..training.config import TrainConfig
from ..training.settings.idle import check_given
from ..training.surroundings import check_surroundings
from .options import parse_options


def main(argv: Sequence[str] | None = None) -> int:
    """Train; the last line on stdout is the path of the best checkpoint, of a dry run nothing."""
    config = parse_options(
        TrainConfig,
        argv,
        prog="train.py",
        description="Train or fine-tune DeepSeek-OCR, in every part or beside it (LoRA).",
        check_given=check_given,
    )
    check_surroundings(config)
    from ..training.run import train  # here: loading torch takes seconds, --help none

    best = train(config)
    # started by torchrun, several processes come here
    if os.environ.get("RANK", "0") == "0" and not config.dry_run:
        print(best)
    return EXIT_OK
