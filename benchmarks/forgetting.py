"""Does tuning on one kind of page ruin another? Character error rates of both, before and after.

python benchmarks/forgetting.py --model nano [--tuned_kind receipts] [--other_kind letters]
    [--tuned_variety 1] [--other_variety 1] [--size 512]
    [--max_characters 400] [--train 200] [--test 60] [--folder DIR] [-- TRAIN FLAGS]

Pages of both kinds are drawn; the model is tuned on the first kind alone, with train.py's default
settings, once all of it and once through an adapter; both kinds are tested before and after, on
pages that were not learned. What stands after `--` goes to a third run of train.py, to see what
other settings do (`-- --lr 1e-3 --epochs 10`).

`--by_heart 80` is for a model that does not read yet, such as `nano-untrained`: it first learns the
test pages of the other kind by heart, in so many epochs, and what is measured is whether it keeps
them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROMPT = r"<image>\nFree OCR."
SEEDS = {"train": 11, "tuned": 12, "other": 13}


def main() -> None:
    """Draw, test, tune, test; one line of the table for each model."""
    arguments, rest = split_at_dashes(sys.argv[1:])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano")
    parser.add_argument("--tuned_kind", default="receipts")
    parser.add_argument("--other_kind", default="letters")
    parser.add_argument("--tuned_fonts", default="bundled", help="`bundled` or a folder of fonts")
    parser.add_argument("--tuned_variety", type=float, default=1.0, help="0: plain print")
    parser.add_argument("--other_variety", type=float, default=1.0, help="0: plain print")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--max_characters", type=int, default=400)
    parser.add_argument("--train", type=int, default=200)
    parser.add_argument("--test", type=int, default=60)
    parser.add_argument("--max_new_tokens", type=int, default=512)
    parser.add_argument("--by_heart", type=int, help="epochs of learning the other kind first")
    parser.add_argument("--folder", type=Path, help="keep what is made here")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        draw_all(given, folder)
        if given.by_heart:
            given.model = learn_by_heart(given, folder)
        show("before", score_both(given, folder, given.model, "before"))
        for name, flags in settings(rest).items():
            model = tune(given, folder, name, flags)
            show(name, score_both(given, folder, model, name))


def split_at_dashes(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before `--`, and what stands after it."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    return list(arguments[:cut]), list(arguments[cut + 1 :])


def settings(rest: Sequence[str]) -> dict[str, list[str]]:
    """The runs of train.py: a name for the table, and its flags."""
    runs = {"full, defaults": [], "lora, defaults": ["--tune", "lora"]}
    return runs | ({" ".join(rest): list(rest)} if rest else {})


def draw_all(given: argparse.Namespace, folder: Path) -> None:
    """Three sets of pages, none of which shares a page with another, and their rows."""
    tuned, other = given.tuned_kind, given.other_kind
    draw(given, folder, "train", tuned, given.train, given.tuned_fonts, given.tuned_variety)
    draw(given, folder, "tuned", tuned, given.test, given.tuned_fonts, given.tuned_variety)
    draw(given, folder, "other", other, given.test, "bundled", given.other_variety)


def draw(
    given: argparse.Namespace,
    folder: Path,
    name: str,
    kind: str,
    count: int,
    fonts: str,
    variety: float,
) -> None:
    """`count` pages of a kind in `folder/name`, and their rows in `folder/name.json`."""
    command(
        "synth", folder / name, "--kind", kind, "--count", count, "--seed", SEEDS[name],
        "--size", given.size, "--max_characters", given.max_characters, "--fonts", fonts,
        "--variety", variety,
    )  # fmt: skip
    split = folder / f"{name}-split"
    command("split", "--data_root", folder / name, "--output_dir", split, "--test_size", 0.5,
            "--prompt", PROMPT)  # fmt: skip
    rows = [
        row
        for side in ("train", "test")
        for row in json.loads((split / f"{side}.json").read_text())
    ]
    (folder / f"{name}.json").write_text(json.dumps(rows))


def learn_by_heart(given: argparse.Namespace, folder: Path) -> str:
    """Teach the model the test pages of the other kind; the path of what has learned them."""
    output = folder / "by-heart"
    command("train", "--data_root", folder / "other", "--train_file", folder / "other.json",
            "--model_path", given.model, "--output_dir", output, "--epochs", given.by_heart,
            "--batch_size", 4, "--lr", 1e-3, "--part_lr", "vision=1e-4", "--mode", "tiny",
            "--base_size", 256)  # fmt: skip
    return str(output / "last")


def tune(given: argparse.Namespace, folder: Path, name: str, flags: Sequence[str]) -> str:
    """Train on the first kind; the path of the last checkpoint."""
    output = folder / ("run " + name).replace(" ", "-").replace(",", "")
    command("train", "--data_root", folder / "train", "--train_file", folder / "train.json",
            "--model_path", given.model, "--output_dir", output, *flags)  # fmt: skip
    return str(output / "last")


def score_both(given: argparse.Namespace, folder: Path, model: str, name: str) -> tuple[dict, dict]:
    """Scores of the kind that is tuned on, and of the other."""
    return score(given, folder, "tuned", model, name), score(given, folder, "other", model, name)


def score(given: argparse.Namespace, folder: Path, rows: str, model: str, name: str) -> dict:
    """Micro CER of a model on a set of pages, and its interval."""
    output = folder / f"test {name} {rows}".replace(" ", "-").replace(",", "")
    command("test", "--data_root", folder / rows, "--test_file", folder / f"{rows}.json",
            "--model_path", model, "--output_dir", output, "--batch_size", 8,
            "--max_new_tokens", given.max_new_tokens)  # fmt: skip
    return json.loads((output / "metrics.json").read_text())["scores"]["raw"]["cer"]


def command(*arguments: object) -> None:
    """Run `deepseek-ocr ...`; what it prints is shown only if it fails."""
    line = [sys.executable, "-m", "deepseek_ocr.cli.main", *map(str, arguments)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(line)}\n{done.stderr}")


_shown: list[str] = []


def show(name: str, scores: tuple[dict, dict]) -> None:
    """A line of the table, under its head if it is the first."""
    if not _shown:
        print("| model | CER of the kind tuned on | CER of the other kind |\n|---|---|---|")
    _shown.append(name)
    cells = [f"{s['micro']:.3f} ({_interval(s['intervals']['micro'])})" for s in scores]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _interval(interval: Sequence[float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


if __name__ == "__main__":
    main()
