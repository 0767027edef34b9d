"""What was meant by a flag or a key that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Collection

ELSEWHERE = {
    "learning_rate": "lr",
    "num_train_epochs": "epochs",
    "num_epochs": "epochs",
    "max_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "train_batch_size": "batch_size",
    "micro_batch_size": "batch_size",
    "per_device_eval_batch_size": "batch_size",
    "gradient_accumulation_steps": "grad_accum",
    "accumulate_grad_batches": "grad_accum",
    "gradient_clip_val": "max_grad_norm",
    "clip_grad_norm": "max_grad_norm",
    "grad_clip": "max_grad_norm",
    "lr_scheduler_type": "lr_schedule",
    "lr_scheduler": "lr_schedule",
    "optim": "optimizer",
    "beta1": "adam_beta1",
    "beta2": "adam_beta2",
    "eps": "adam_epsilon",
    "label_smoothing_factor": "label_smoothing",
    "save_total_limit": "keep",
    "resume_from_checkpoint": "resume",
    "overwrite_output_dir": "output_dir",
    "save_dir": "output_dir",
    "logging_dir": "output_dir",
    "model_name_or_path": "model_path",
    "model_name": "model_path",
    "model": "model_path",
    "dataset": "train_file",
    "train_data": "train_file",
    "eval_file": "val_file",
    "eval_dataset": "val_file",
    "validation_file": "val_file",
    "image_folder": "data_root",
    "data_path": "data_root",
    "eval_strategy": "eval_steps",
    "evaluation_strategy": "eval_steps",
    "save_strategy": "save_steps",
    "eval_on_start": "eval_at_start",
    "metric_for_best_model": "best_metric",
    "early_stopping_patience": "patience",
    "report_to": "track",
    "dataloader_num_workers": "num_workers",
    "workers": "num_workers",
    "model_max_length": "max_length",
    "max_seq_length": "max_length",
    "cutoff_len": "max_length",
    "torch_compile": "compile",
    "bf16": "dtype bfloat16",
    "fp16": "dtype float16",
    "fp32": "dtype float32",
    "torch_dtype": "dtype",
    "mixed_precision": "dtype",
    "precision": "dtype",
    "use_cpu": "device cpu",
    "no_cuda": "device cpu",
    "lora": "tune lora",
    "use_lora": "tune lora",
    "use_peft": "tune lora",
    "use_dora": "tune dora",
    "finetuning_type": "tune",
    "load_in_4bit": "tune qlora",
    "lora_r": "lora_rank",
    "lora_target": "parts",
    "lora_target_modules": "parts",
    "target_modules": "parts",
    "freeze_vision_tower": "parts decoder",
    "wd": "weight_decay",
    "seq_len": "max_length",
    "deepspeed": "fsdp",
    "logging_steps": "",
    "log_interval": "",
    "local_rank": "",
    "flash_attn": "",
}
"""What other programs call it -> ours, or ours with its value; empty: nothing like it here."""


def unknown(name: str, known: Collection[str], prog: str, *, kind: str) -> str:
    """The message about a `kind` ("flag", with its hyphens, or "key") that is not `known`.

    `known` are bare names, such as `batch_size`.
    """
    bare = name.lstrip("-").replace("-", "_").lower()
    meant = _meant(bare, known)
    if not meant:
        return f"unknown {kind} {name}; see {prog} --help"
    field, _, value = meant.partition(" ")
    if kind == "flag":
        return f"unknown flag {name}; did you mean --{meant}?"
    return f"unknown key {name}; did you mean {f'{field}: {value}' if value else field}?"


def _meant(bare: str, known: Collection[str]) -> str:
    """Ours of another program's name, of a beginning, of a name that is nearly it; or nothing."""
    elsewhere = ELSEWHERE.get(bare)
    if elsewhere is not None and elsewhere.partition(" ")[0] in ("", *known):
        return elsewhere
    if bare.removeprefix("no_") in known:
        return bare.removeprefix("no_")
    begun = [name for name in known if bare and name.startswith(f"{bare}_")]
    if len(begun) == 1:
        return begun[0]
    return next(iter(difflib.get_close_matches(bare, sorted(known), 1, 0.6)), "")
