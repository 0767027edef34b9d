"""Train `nano` stage after stage, each from the model of the one before; goes on where it was.

    python recipes/nano/train_stages.py --runs runs/nano [flags of train.py for every stage]

Stages are the YAML files beside this one, in the order of their names. A finished stage is left as
it is; a stopped or killed one goes on exactly. Between stages 1 and 2 the encoder's answers are
scaled down (`scale_features.py`).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
TRAIN = HERE.parent.parent / "train.py"
SCALE = HERE / "scale_features.py"
START = "nano-untrained"
ENCODER, SCALED = "1-glyphs", "1-scaled"


def stages(runs: Path) -> Iterator[tuple[Path, str, Path]]:
    """Of every stage: its settings, the model it starts from, the folder it writes."""
    model = START
    for settings in sorted(HERE.glob("[0-9]*-*.yaml")):
        output_dir = runs / settings.stem
        yield settings, model, output_dir
        model = str(runs / SCALED if settings.stem == ENCODER else output_dir / "last")


def main() -> int:
    """Run them all; the exit code of the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--runs", type=Path, default=Path("runs/nano"))
    arguments, flags = parser.parse_known_args()
    for settings, model, output_dir in stages(arguments.runs):
        if model == str(arguments.runs / SCALED) and not Path(model).exists():
            encoder = str(arguments.runs / ENCODER / "last")
            if code := subprocess.call([sys.executable, str(SCALE), encoder, model]):
                return code
        command = [sys.executable, str(TRAIN), "--config", str(settings), "--model_path", model]
        code = subprocess.call([*command, "--output_dir", str(output_dir), *flags])
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
