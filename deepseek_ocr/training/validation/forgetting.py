"""Whether training spoils what the model could do before: the rows of `--guard_file`.

A model that is tuned on receipts may forget letters; the loss on receipts does not show it.
"""

from __future__ import annotations

from pathlib import Path

from ..reporting.curves import read_curve

MARGINS = {"guard_cer": 0.02, "guard_loss": 0.1}
"""How much worse a figure may become before it is told, besides `SHARE` of what it was."""
SHARE = 0.1
NAMES = {"guard_cer": "CER", "guard_loss": "loss"}


class Guard:
    """Compares a figure of the guard's rows with what it was before the first step.

    In a run that goes on, what it was is found in the run's `metrics.jsonl`.
    """

    def __init__(self, output_dir: Path, *, reads: bool):
        self.output_dir = output_dir
        self.figure = "guard_cer" if reads else "guard_loss"
        self.before: float | None = None

    def warning(self, figures: dict[str, float], *, step: int) -> str | None:
        """A line for people where the figures of this step are clearly worse; else None."""
        if (now := figures.get(self.figure)) is None:
            return None
        if step == 0 or self.before is None:
            earlier = {} if step == 0 else read_curve(self.output_dir, "validation", self.figure)
            self.before = next(iter(earlier.values()), now)
        if not is_worse(self.before, now, margin=MARGINS[self.figure]):
            return None
        return (
            f"step {step}: rows of --guard_file are read worse than before training "
            f"({NAMES[self.figure]} {self.before:.4f} -> {now:.4f}). Lower --lr, train fewer "
            "--epochs, mix rows of that kind into --train_file, or use --tune lora"
        )


def is_worse(before: float, now: float, *, margin: float) -> bool:
    """Whether a figure that should be low rose by more than the margin, and by more than a tenth.

    Something that is no number any more is worse, too.
    """
    return not now <= before + max(margin, SHARE * before)
