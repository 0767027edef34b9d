"""One of several processes that validate; run by torchrun, `MODEL_KIND... DATA OUT`.

Writes what each process measured, and the gradient that it learns from afterwards.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from peft import LoraConfig, get_peft_model

from deepseek_ocr.data.annotations import read_annotations
from deepseek_ocr.errors import UserError
from deepseek_ocr.runlog import RunLog
from deepseek_ocr.training import TrainConfig
from deepseek_ocr.training.batching.batches import Collator
from deepseek_ocr.training.optimization.step import Unreadable
from deepseek_ocr.training.processes.devices import accelerator_for
from deepseek_ocr.training.processes.sharding import shard
from deepseek_ocr.training.validation.validator import Validator

from .samples import small_model, small_processor

KINDS = ("plain", "plain-shared", "lora", "lora-shared")
BROKEN_PROCESS = 1


def make_model(kind: str):
    """Random weights; as an adapter with random ones, too, so that it changes what is read."""
    model = small_model()
    if not kind.startswith("lora"):
        return model
    targets = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    return get_peft_model(model, targets)


def measure(accelerator, kind: str, folder: Path, out: Path) -> dict[str, float]:
    """The figures of a validation by the model of that kind, before and after a backward pass."""
    validator = make_validator(accelerator, folder, out)
    model = make_model(kind)
    if kind.endswith("-shared") and accelerator.num_processes > 1:
        shard(model, accelerator)
    else:
        model = accelerator.prepare(model)
    before = validator.measure(model, step=0, epoch=1)
    rows = validator.sets[0].dataset
    model(**validator.collator([rows[0], rows[1]])).loss.backward()
    after = validator.measure(model, step=1, epoch=1)
    assert after == before, (before, after)
    return before


def make_validator(accelerator, folder: Path, out: Path) -> Validator:
    config = TrainConfig(
        data_root=folder / "pages",
        train_file=folder / "val.json",
        val_file=folder / "val.json",
        model_path="nano-untrained",
        output_dir=out,
        batch_size=1,
        eval_samples=5,
        eval_max_new_tokens=9,
    )
    processor = small_processor()
    rows = read_annotations(folder / "val.json", folder / "pages")
    return Validator(
        config,
        accelerator,
        processor,
        rows,
        rows[:1],
        Collator(processor),
        RunLog(out, "train"),
        quiet=True,
    )


def unreadable(accelerator, folder: Path, out: Path) -> str:
    """What every process says where one cannot open a picture."""
    validator = make_validator(accelerator, folder, out)
    dataset, process = validator.sets[0].dataset, accelerator.process_index

    def sample(index):
        raise UserError("row page-3: cannot be opened")

    if process == BROKEN_PROCESS:
        dataset.sample = sample
    try:
        validator.sets[0].reader.read(accelerator.prepare(make_model("plain")))
    except Unreadable as error:
        return str(error)
    return "read"


def main(folder: Path, out: Path) -> None:
    with accelerator_for("cpu", "float32") as accelerator:
        found = {kind: measure(accelerator, kind, folder, out) for kind in KINDS}
        found["unreadable"] = unreadable(accelerator, folder, out)
        name = f"process-{accelerator.process_index}.json"
        (out / name).write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
