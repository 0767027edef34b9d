"""The flags that the benchmarks beside transformers' own class have in common."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch
import transformers


def new_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser named by the first line of a benchmark's docstring."""
    return argparse.ArgumentParser(description=(description or "").splitlines()[0])


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The benchmark's own flags and those that both have; ends where there is no such class."""
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: CUDA where it is")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of processes")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--folder", type=Path, help="keep the random weights here, for other runs")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    if not hasattr(transformers, "UnlimitedOcrForConditionalGeneration"):
        sys.exit("needs transformers >= 5.23, which has UnlimitedOcrForConditionalGeneration")
    args.device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return args
