"""Scale down what the encoder gives, once, between stages 1 and 2.

    python recipes/nano/scale_features.py runs/nano/1-glyphs/last runs/nano/1-scaled

In stage 1 only heads with a norm of their own look at the features, so nothing holds their size: the
image tokens end with a norm of about 700 beside embeddings of 0.3, and a decoder learns little from
them. The last convolution is divided by 100, the projector so that image tokens come to a norm of
about 1; what they tell stays. These two numbers are those of one run of stage 1.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

LOCAL, TOKENS = 1 / 100, 1 / 700


def main() -> None:
    """Copy the model folder, scaled, whole or not at all; the optimizer's state stays behind."""
    source, target = (Path(argument).resolve() for argument in sys.argv[1:])
    begun = target.with_name(f"{target.name}.tmp")
    shutil.rmtree(begun, ignore_errors=True)
    shutil.copytree(source, begun, ignore=shutil.ignore_patterns("optimizer.safetensors"))
    weights = load_file(begun / "model.safetensors")
    convolution, projector = weights["model.sam_model.net_3.weight"], "model.projector.layers"
    num_global = weights[f"{projector}.weight"].shape[1] - len(convolution)  # CLIP's come first
    convolution *= LOCAL
    weights[f"{projector}.weight"][:, :num_global] *= TOKENS
    weights[f"{projector}.weight"][:, num_global:] *= TOKENS / LOCAL
    weights[f"{projector}.bias"] *= TOKENS
    save_file(weights, begun / "model.safetensors", metadata={"format": "pt"})
    begun.rename(target)


if __name__ == "__main__":
    main()
