"""What a training run is asked to do: the flags of `train.py` and the keys of its YAML files."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

from ..data.augmentation import MAX_STRENGTH, Augmentation, parse_names
from ..data.statistics.contact_sheet import MOST_CELLS
from ..data.synthetic.stream import check_kinds
from ..errors import UsageError
from ..resolution import Mode
from .lora import adapted_parts
from .parts import expand_parts

ADAPTERS = ("lora", "dora", "qlora")
DEFAULT_PARTS = {"full": "all", **dict.fromkeys(ADAPTERS, "attention,dense,shared")}
DEFAULT_LR = {"full": 2e-5, **dict.fromkeys(ADAPTERS, 2e-4)}
TRACKERS = ("tensorboard", "wandb", "mlflow")
RECOMPUTED = ("sam", "clip", "decoder")
"""What `--gradient_checkpointing` can name."""

_AT_LEAST = {
    "epochs": 1,
    "batch_size": 1,
    "grad_accum": 1,
    "lora_rank": 1,
    "lora_alpha": 1,
    "max_tokens_per_batch": 1,
    "eval_samples": 0,
    "eval_max_new_tokens": 1,
    "patience": 1,
    "balance_loss_weight": 0,
    "max_steps": 1,
    "max_length": 1,
    "save_steps": 1,
    "eval_steps": 1,
    "keep": 1,
    "show_samples": 1,
    "synth_size": 64,
    "seed": 0,
    "num_workers": 0,
    "weight_decay": 0,
    "base_size": 64,
    "tile_size": 64,
    "max_tiles": 1,
}
_AT_MOST = {
    "seed": 2**32 - 1,  # the largest that NumPy's generator takes
    "show_samples": MOST_CELLS,
}
_PATHS = ("data_root", "train_file", "output_dir", "val_file", "guard_file", "feature_cache")
# Where results go, and how fast they come: neither changes what is learned.
_CHANGES_NOTHING = (
    "output_dir",
    "resume",
    "num_workers",
    "device",
    "save_steps",
    "eval_steps",
    "keep",
    "show_samples",
    "eval_samples",
    "eval_max_new_tokens",
    "track",
    "try_largest",
    "dry_run",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What is trained on what, and how."""

    data_root: Annotated[
        Path | None, "folder that the pictures of the train file are relative to"
    ] = None
    train_file: Annotated[Path | None, "train.json as written by data_utils.py"] = None
    model_path: Annotated[str, "model folder, Hub id or preset (nano, nano-untrained, ...)"]
    output_dir: Annotated[Path, "folder for checkpoints, curves and logs"]
    epochs: Annotated[int, "times that every row is seen"] = 3
    batch_size: Annotated[int, "rows a forward pass (and device)"] = 2
    val_file: Annotated[Path | None, "rows for the validation loss, which chooses `best`"] = None

    tune: Annotated[
        Literal["full", "lora", "dora", "qlora"],
        "train the weights, or an adapter beside them; qlora: over frozen weights of 4 bits",
    ] = "full"
    parts: Annotated[
        str | None,
        "comma list of sam, compressor, clip, projector, separators, attention, dense, shared, "
        "experts, router, embeddings, head, or the sets vision, decoder, all; "
        "default: all, with an adapter attention,dense,shared",
    ] = None
    lora_rank: Annotated[int, "rank of the adapter's matrices"] = 16
    lora_alpha: Annotated[int | None, "scale of the adapter, over its rank; default: twice it"] = (
        None
    )
    lora_dropout: Annotated[float, "share of the adapter's inputs that are left out"] = 0.0

    lr: Annotated[float | None, "peak learning rate; default: 2e-5, with an adapter 2e-4"] = None
    part_lr: Annotated[
        tuple[str, ...] | None, "peak learning rates of parts or sets: sam=1e-5 projector=1e-4"
    ] = None
    weight_decay: Annotated[float, "norms, biases and vectors are exempt"] = 0.01
    part_weight_decay: Annotated[
        tuple[str, ...] | None, "weight decay of parts or sets: embeddings=0 experts=0.1"
    ] = None
    optimizer: Annotated[
        Literal["adamw", "adamw8bit", "adafactor"],
        "adamw8bit: bitsandbytes, on CUDA; adafactor: torch's",
    ] = "adamw"
    lr_schedule: Annotated[
        Literal["cosine", "linear", "constant", "wsd"],
        "of the learning rate after warm-up; wsd: constant, then down at the end",
    ] = "cosine"
    warmup_ratio: Annotated[float, "share of the steps in which the learning rate rises"] = 0.03
    decay_ratio: Annotated[float, "share of the steps in which wsd falls"] = 0.1
    ema: Annotated[
        float | None,
        "keep a running average of what trains with this decay, such as 0.999; it is what is "
        "validated and saved",
    ] = None
    label_smoothing: Annotated[float, "share of each token's weight that goes to all tokens"] = 0.0
    balance_loss_weight: Annotated[
        float | None, "of the experts' balance loss; default: 0.001 where the router trains"
    ] = None
    grad_accum: Annotated[int, "batches a step; their gradients add up to one large batch's"] = 1
    max_grad_norm: Annotated[float, "longer gradients are shortened to this norm"] = 1.0
    max_steps: Annotated[int | None, "end after so many steps, if the epochs do not before"] = None
    max_length: Annotated[
        int | None, "most positions of a row; a longer one is an error; default: the model's"
    ] = None
    max_tokens_per_batch: Annotated[
        int | None,
        "in place of --batch_size: rows of alike length and tiles, as many as fit into so many "
        "positions, padding included",
    ] = None
    packing: Annotated[
        bool,
        "lay short rows end to end, unseen by each other, up to --max_tokens_per_batch positions "
        "(default then: the longest row's)",
    ] = False
    feature_cache: Annotated[
        Path | None,
        "folder that keeps what the frozen vision side gives for each page, computed once",
    ] = None
    gradient_checkpointing: Annotated[
        str,
        "compute again what is not kept for the backward pass, in: none, all, or a comma list of "
        "sam, clip, decoder",
    ] = "none"
    compile: Annotated[bool, "torch.compile the layers: minutes at the start, faster after"] = False
    fsdp: Annotated[bool, "started by torchrun: share weights and optimizer among processes"] = (
        False
    )

    mode: Annotated[Mode | None, "resolution of the views; default: the model's"] = None
    tile_size: Annotated[int | None, "side of a tile in pixels; default: the mode's"] = None
    base_size: Annotated[int | None, "side of the overview in pixels; default: the mode's"] = None
    max_tiles: Annotated[int | None, "most tiles of a page; default: the mode's"] = None

    synth: Annotated[
        str | None,
        "kinds of pages to draw while training, in place of a train file: words,lines,letters,...; "
        "--max_steps says how many",
    ] = None
    synth_size: Annotated[int, "longer side of a drawn page in pixels"] = 512
    synth_characters: Annotated[
        tuple[int, ...] | None,
        "most characters of a drawn page; two numbers: of the first page, rising to the last's; "
        "default: what fits",
    ] = None
    synth_variety: Annotated[
        tuple[float, ...] | None,
        "share of drawn pages in all fonts, sizes, inks and papers, the others in plain print; two "
        "numbers: of the first page, rising to the last's; default: 1",
    ] = None
    synth_task: Annotated[
        Literal["answers", "glyphs"],
        "what is learned of drawn pages: to read them, or, the encoder alone, to name their glyphs",
    ] = "answers"
    synth_fonts: Annotated[str, "`bundled` (with matplotlib) or a folder of fonts"] = "bundled"
    glyph_weight: Annotated[
        tuple[float, ...] | None,
        "of the loss of two heads that name the glyphs of drawn pages, and are not saved with the "
        "model; two numbers: at the first step, changing to the last's; default: no heads",
    ] = None

    augment: Annotated[
        str,
        "wear of training pages: none, all, or a comma list of ink, paper, rotation, perspective, "
        "contrast, blur, noise, jpeg; where a row holds boxes, nothing on its pages moves",
    ] = "none"
    augment_strength: Annotated[float, "of the wear; 1: a tired office scanner's"] = 1.0

    save_steps: Annotated[int | None, "also save after every so many steps"] = None
    eval_steps: Annotated[int | None, "also validate every so many steps"] = None
    eval_samples: Annotated[
        int, "validation rows that are read, for CER and the like; always the same; 0: none"
    ] = 16
    eval_max_new_tokens: Annotated[
        int | None, "most tokens of an answer then; default: what the longest truth needs, and half"
    ] = None
    best_metric: Annotated[
        Literal["loss", "cer", "wer", "edit_similarity"], "of validation, which chooses `best`"
    ] = "loss"
    patience: Annotated[
        int | None, "end after so many validations that were no better than the best"
    ] = None
    guard_file: Annotated[
        Path | None, "rows of another kind, measured beside --val_file: is anything forgotten?"
    ] = None
    track: Annotated[
        str, "also write figures for: none, or a comma list of tensorboard, wandb, mlflow"
    ] = "none"
    try_largest: Annotated[bool, "try the largest batch before the first step"] = True
    dry_run: Annotated[bool, "one step of everything, and what memory it takes; writes nothing"] = (
        False
    )
    keep: Annotated[
        int | None, "of the checkpoints within an epoch, keep the newest so many; default: all"
    ] = None
    show_samples: Annotated[
        int | None, "write the first so many pages, as the model will see them, to samples.png"
    ] = None
    resume: Annotated[
        str, "auto: go on with the run in the output folder; none: only start; or a checkpoint"
    ] = "auto"

    device: Annotated[str, "cpu, cuda, cuda:1, mps or auto"] = "auto"
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        "of the computation; auto: bfloat16 where CUDA has it, else float32",
    ] = "auto"
    seed: Annotated[int, "of the order of the rows and of new weights"] = 42
    num_workers: Annotated[
        int | None, "processes that prepare batches; default: 0 on a CPU, else up to 4"
    ] = None

    def __post_init__(self):
        for name in _PATHS:  # from Python: str, too
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(value))
        self._check_types()
        for name, least in _AT_LEAST.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise UsageError(f"--{name} must be at least {least}, got {value}")
        for name, most in _AT_MOST.items():
            value = getattr(self, name)
            if value is not None and value > most:
                raise UsageError(f"--{name} must be at most {most}, got {value}")
        self._check_pairs()
        self._check_source()
        for name in ("lr", "max_grad_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"--{name} must be above 0, got {value}")
        for name in ("warmup_ratio", "decay_ratio"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"--{name} must lie between 0 and 1, got {getattr(self, name)}")
        for name in ("lora_dropout", "label_smoothing", "ema"):
            if not 0 <= (getattr(self, name) or 0) < 1:
                raise UsageError(f"--{name} must lie from 0 to below 1, got {getattr(self, name)}")
        self._check_validation()
        if not 0 < self.augment_strength <= MAX_STRENGTH:
            raise UsageError(
                f"--augment_strength must lie above 0, up to {MAX_STRENGTH:g}; got "
                f"{self.augment_strength}"
            )
        if self.augment_strength != 1.0 and not parse_names(self.augment):
            raise UsageError("--augment_strength wears nothing by itself; say what with --augment")
        # an unknown name fails here
        _ = self.trained_parts, self.augmentation, self.trackers, self.recomputed

    def _check_types(self) -> None:
        """From Python any value may come: choices and numbers must be what the fields declare."""
        for name, hint in typing.get_type_hints(type(self)).items():
            value = getattr(self, name)
            if expected := _expected(value, hint):
                raise UsageError(f"--{name}: expected {expected}, got {value!r}")

    def _check_validation(self) -> None:
        """What is measured needs rows, and what chooses needs what is measured."""
        if self.val_file is None:
            for name in ("eval_steps", "patience"):
                if getattr(self, name) is not None:
                    raise UsageError(f"--{name} needs rows to measure; name them with --val_file")
            if self.best_metric != "loss":
                raise UsageError("--best_metric needs rows to read; name them with --val_file")
        if self.best_metric != "loss" and not self.eval_samples:
            raise UsageError(f"--best_metric {self.best_metric} needs --eval_samples above 0")

    def _check_source(self) -> None:
        """Rows of a file, or drawn pages."""
        if self.synth is None:
            needed = ("data_root", "train_file")
            if missing := [f"--{name}" for name in needed if getattr(self, name) is None]:
                raise UsageError(f"missing: {', '.join(missing)}; or draw pages with --synth")
            if self.has_heads:
                raise UsageError("glyphs are known of drawn pages only; name kinds with --synth")
            return
        if self.train_file is not None:
            raise UsageError("--synth takes the place of --train_file; name one of them")
        for name in ("val_file", "guard_file"):
            if getattr(self, name) is not None and self.data_root is None:
                raise UsageError(f"--{name} needs --data_root, the folder of its pictures")
        if self.max_steps is None:
            raise UsageError("--synth draws pages without end; say how many steps with --max_steps")
        if self.tune != "full" and self.has_heads:
            raise UsageError("glyphs teach the encoder itself; they need --tune full")
        if max(self.synth_variety or (0,)) > 1:
            raise UsageError("--synth_variety: expected shares from 0 to 1")
        check_kinds(self.synth_kinds, self.synth_size)

    def _check_pairs(self) -> None:
        """What changes while training has one value, or its first and its last."""
        for name in ("synth_characters", "synth_variety", "glyph_weight"):
            values = getattr(self, name)
            if values is None:
                continue
            if len(values) not in (1, 2) or min(values) < 0 or not math.isfinite(max(values)):
                found = " ".join(map(str, values))
                raise UsageError(f"--{name}: expected one or two numbers from 0, got {found}")

    @property
    def trained_parts(self) -> tuple[str, ...]:
        """The parts that train, or get an adapter, in the order of the network."""
        text = DEFAULT_PARTS[self.tune] if self.parts is None else self.parts
        return adapted_parts(text) if self.tune in ADAPTERS else expand_parts(text)

    @property
    def recomputed(self) -> tuple[str, ...]:
        """The stacks whose activations are computed again in the backward pass."""
        return _names("gradient_checkpointing", self.gradient_checkpointing, RECOMPUTED)

    @property
    def trackers(self) -> tuple[str, ...]:
        """The programs that get the figures, too."""
        return _names("track", self.track, TRACKERS)

    @property
    def has_heads(self) -> bool:
        """Whether heads that name glyphs learn, too."""
        return self.glyph_weight is not None or self.synth_task == "glyphs"

    @property
    def glyph_weights(self) -> tuple[float, float]:
        """The weight of the heads' loss at the first step and at the last."""
        values = self.glyph_weight or (0.0,)
        return values[0], values[-1]

    @property
    def synth_kinds(self) -> tuple[str, ...]:
        """The kinds of pages to draw, one by one."""
        return tuple(name.strip() for name in (self.synth or "").split(","))

    @property
    def augmentation(self) -> Augmentation | None:
        """The wear of training pages, if any."""
        names = parse_names(self.augment)
        return Augmentation(names, self.augment_strength, self.seed) if names else None

    @property
    def peak_lr(self) -> float:
        """The learning rate after warm-up."""
        return DEFAULT_LR[self.tune] if self.lr is None else self.lr

    def to_json(self) -> dict[str, Any]:
        """Every setting as a JSON value, with what the defaults stand for."""
        values = dataclasses.asdict(self)
        values |= {"parts": ",".join(self.trained_parts), "lr": self.peak_lr}
        values["augment"] = ",".join(parse_names(self.augment)) or "none"
        return {k: _json_value(v) for k, v in values.items()}

    def deciding(self) -> dict[str, Any]:
        """The settings that decide what is learned, for telling one run from another.

        Files are told apart by their content, not by these paths.
        """
        left_out = (*_CHANGES_NOTHING, *_PATHS, "model_path")
        return {k: v for k, v in self.to_json().items() if k not in left_out}


def _names(flag: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """`a,b` -> those of `known` that it names, in their order; `none` is none, `all` is all."""
    names = [name.strip() for name in text.split(",")]
    if names in (["none"], ["all"]):
        return known if names == ["all"] else ()
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"--{flag}: unknown {unknown[0]!r}; known: none, all, {', '.join(known)}")
    return tuple(name for name in known if name in names)


def _json_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def _expected(value: Any, hint: Any) -> str:
    """What a field of this type takes, in words, where `value` is something else; else empty."""
    kinds = (
        typing.get_args(hint)
        if typing.get_origin(hint) in (typing.Union, types.UnionType)
        else (hint,)
    )
    if value is None and type(None) in kinds:
        return ""
    for kind in kinds:
        if typing.get_origin(kind) is Literal and value not in typing.get_args(kind):
            return "one of " + ", ".join(typing.get_args(kind))
        if kind is int and type(value) is not int:
            return "a whole number"
        if kind is float and (isinstance(value, bool) or not isinstance(value, int | float)):
            return "a number"
    return ""
