"""What a training run is asked to do: the flags of `train.py` and the keys of its YAML files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from ..data.augmentation import Augmentation, parse_names
from ..resolution import Mode
from .settings.flag_values import names_of, one_by_one, values_of_parts
from .settings.rules import check_settings
from .tuning.lora import adapted_parts
from .tuning.parts import expand_parts

ADAPTERS = ("lora", "dora", "qlora")
DEFAULT_PARTS = {"full": "all", **dict.fromkeys(ADAPTERS, "attention,dense,shared")}
DEFAULT_LR = {"full": 2e-5, **dict.fromkeys(ADAPTERS, 2e-4)}
BALANCE_LOSS_WEIGHT = 0.001
"""Of the balance loss where the router trains, as in the released code; 0 where it does not."""
TRACKERS = ("tensorboard", "wandb", "mlflow")
RECOMPUTED = ("sam", "clip", "decoder")
"""What `--gradient_checkpointing` can name."""

PART_NUMBER = "PART=NUMBER"
FIRST_AND_LAST = "A [B]"

_PATHS = ("data_root", "train_file", "output_dir", "val_file", "guard_file", "feature_cache")
# Where results go, how fast they come and how long a run lasts: none changes what is learned.
_CHANGES_NOTHING = (
    "output_dir",
    "resume",
    "num_workers",
    "device",
    "save_steps",
    "eval_steps",
    "keep",
    "save_only_model",
    "eval_at_start",
    "show_samples",
    "eval_samples",
    "eval_max_new_tokens",
    "patience",
    "track",
    "try_largest",
    "dry_run",
    "gradient_checkpointing",
    "compile",
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
        tuple[str, ...] | None,
        "peak learning rates of parts or sets: sam=1e-5 projector=1e-4",
        PART_NUMBER,
    ] = None
    weight_decay: Annotated[float, "norms, biases and vectors are exempt"] = 0.01
    part_weight_decay: Annotated[
        tuple[str, ...] | None,
        "weight decay of parts or sets: embeddings=0 experts=0.1",
        PART_NUMBER,
    ] = None
    optimizer: Annotated[
        Literal["adamw", "adamw8bit", "adafactor"],
        "adamw8bit: bitsandbytes, on CUDA; adafactor: torch's",
    ] = "adamw"
    adam_beta1: Annotated[float, "decay of AdamW's average of gradients"] = 0.9
    adam_beta2: Annotated[float, "decay of AdamW's average of squared gradients"] = 0.999
    adam_epsilon: Annotated[float, "what AdamW adds to their root"] = 1e-8
    lr_schedule: Annotated[
        Literal["cosine", "linear", "constant", "wsd"],
        "of the learning rate after warm-up; wsd: constant, then down at the end",
    ] = "cosine"
    warmup_ratio: Annotated[
        float, "share of the steps in which the learning rate rises; of few steps somewhat more"
    ] = 0.03
    warmup_steps: Annotated[int | None, "in place of --warmup_ratio"] = None
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
        FIRST_AND_LAST,
    ] = None
    synth_variety: Annotated[
        tuple[float, ...] | None,
        "share of drawn pages in all fonts, sizes, inks and papers, the others in plain print; two "
        "numbers: of the first page, rising to the last's; default: 1",
        FIRST_AND_LAST,
    ] = None
    synth_spacing: Annotated[
        tuple[float, ...] | None,
        "how far letters of drawn pages stand apart beyond the usual, in type sizes, at most; two "
        "numbers: of the first page, changing to the last's; default: 0",
        FIRST_AND_LAST,
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
        FIRST_AND_LAST,
    ] = None

    augment: Annotated[
        str,
        "wear of training pages: none, all, or a comma list of ink, paper, rotation, perspective, "
        "contrast, blur, noise, jpeg; where a row holds boxes, nothing on its pages moves",
    ] = "none"
    augment_strength: Annotated[float, "of the wear; 1: a tired office scanner's"] = 1.0

    save_steps: Annotated[int | None, "also save after every so many steps"] = None
    eval_steps: Annotated[int | None, "also validate every so many steps"] = None
    eval_at_start: Annotated[bool, "measure before the first step"] = True
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
        int | None, "keep the newest so many checkpoints, and best; default: all epochs"
    ] = None
    save_only_model: Annotated[
        bool,
        "epochs that are not the last keep their weights alone; the run goes on from the last",
    ] = False
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
        check_settings(self)
        for name in ("part_lr", "part_weight_decay"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, one_by_one(value))

    @property
    def adapts(self) -> bool:
        """Whether an adapter trains beside weights that stay as they are."""
        return self.tune in ADAPTERS

    @property
    def trained_parts(self) -> tuple[str, ...]:
        """The parts that train, or get an adapter, in the order of the network."""
        text = DEFAULT_PARTS[self.tune] if self.parts is None else self.parts
        if self.tune not in ADAPTERS:
            return expand_parts(text)
        return adapted_parts(text, self.tune, self.lora_dropout)

    @property
    def lr_of_parts(self) -> dict[str, float]:
        """The peak learning rates of parts that have their own."""
        return values_of_parts("part_lr", self.part_lr, self.trained_parts)

    @property
    def weight_decay_of_parts(self) -> dict[str, float]:
        """The weight decay of parts that have their own."""
        return values_of_parts("part_weight_decay", self.part_weight_decay, self.trained_parts)

    @property
    def balance_weight(self) -> float:
        """Of the experts' balance loss."""
        if self.balance_loss_weight is not None:
            return self.balance_loss_weight
        trains_router = self.tune == "full" and "router" in self.trained_parts
        return BALANCE_LOSS_WEIGHT if trains_router else 0.0

    @property
    def recomputed(self) -> tuple[str, ...]:
        """The stacks whose activations are computed again in the backward pass."""
        return names_of("gradient_checkpointing", self.gradient_checkpointing, RECOMPUTED)

    @property
    def trackers(self) -> tuple[str, ...]:
        """The programs that get the figures, too."""
        return names_of("track", self.track, TRACKERS)

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


def _json_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
