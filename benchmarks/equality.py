"""How far the network is from recorded outputs of the released code.

    python benchmarks/equality.py

Prints, for each recorded tensor, the largest difference and the largest value. The tolerances are
those of the recording's README: 1e-5 on vision features, 1e-4 of the largest value on the rest.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from deepseek_ocr.model import DeepseekOcrForConditionalGeneration
from tests.conftest import golden_tensors, recorded, tiny_config

CASES = ("nocrop160", "nocrop256", "crop2x1", "crop2x3")


def recorded_model() -> DeepseekOcrForConditionalGeneration:
    """The reduced model with the recorded weights, read from a folder in the published layout."""
    weights = {
        name.removeprefix("weights."): tensor
        for name, tensor in golden_tensors().items()
        if name.startswith("weights.") and not name.endswith("position_ids")
    }
    with tempfile.TemporaryDirectory() as folder:
        save_file(weights, Path(folder) / "model.safetensors", metadata={"format": "pt"})
        tiny_config().save_pretrained(folder)
        model = DeepseekOcrForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        return model.eval()


@torch.no_grad()
def outputs(model: DeepseekOcrForConditionalGeneration, case: str) -> dict[str, torch.Tensor]:
    """What the network gives for a recorded case, under the recording's names."""
    golden = golden_tensors()
    inputs = {
        "input_ids": golden[f"{case}.input_ids"],
        "pixel_values": golden[f"{case}.pixels.global"],
        "tile_values": golden.get(f"{case}.pixels.tiles"),
        "tile_grids": golden[f"{case}.images_spatial_crop"],
    }
    found = {}
    for view in ("global", "tiles"):
        if f"{case}.pixels.{view}" in golden:
            local = model.model.sam_model(golden[f"{case}.pixels.{view}"])
            found[f"{view}.sam"] = local
            found[f"{view}.clip"] = model.model.vision_model(local)
    found["inputs_embeds"] = model.model.embed(**inputs)
    output = model(**inputs, output_hidden_states=True)
    found["last_hidden"] = output.hidden_states[-1]
    found["logits"] = output.logits
    return found


def main() -> None:
    """Print one line a tensor."""
    print(f"recording: {recorded('tiny.safetensors').name}; torch {torch.__version__}")
    model = recorded_model()
    golden = golden_tensors()
    for case in CASES:
        if f"{case}.input_ids" not in golden:
            continue
        for name, found in outputs(model, case).items():
            expected = golden[f"{case}.{name}"]
            error = (found - expected).abs().max().item()
            print(f"{case:10} {name:14} {error:.1e} of {expected.abs().max().item():.2g}")
    ids = golden["train.input_ids"]
    loss = model(input_ids=ids, labels=ids).loss.item()
    print(f"train loss {loss:.7f}, recorded {golden['train.loss'].item():.7f}")


if __name__ == "__main__":
    main()
