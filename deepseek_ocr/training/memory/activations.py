"""Bytes that the forward pass keeps for the backward pass, stack by stack, from sizes alone.

Each function says what one layer keeps for a position, in values; which tensors these are follows
from the layers' code in `model/`, and tests hold the sums against what is kept indeed. Letters: C
width of a stack, D width of the decoder, g = S / 16 grid side of a view of S pixels, k experts a
token. `flows`: a gradient passes through the layer. `learns`: its linear layers train, or an
adapter beside them does, and so their inputs are kept, too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from ...model.config_parts import ClipConfig, SamConfig, TextConfig
from ...model.configuration import DeepseekOcrConfig
from ...model.position_attention import BLOCK
from ...resolution import DOWNSAMPLE, PATCH_SIZE, ViewSettings, grid_side
from ..tuning.parts import VISION
from .batch_size import BatchSize

FLOAT32 = 4


@dataclass(frozen=True, kw_only=True)
class Formats:
    """Bytes of a value: of products (float32, or what autocast makes), of the sums between.

    `fused`: SAM's attention is one kernel with wider queries and keys, as anywhere but on a CPU.
    """

    product: int
    residual: int
    fused: bool = False

    def inputs(self, products: int) -> int:
        """Copies of their common input that so many products keep: autocast makes each its own."""
        return 1 if self.product == FLOAT32 else products


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Bytes of a stack: `layers` for the backward pass, `working` while one layer is computed."""

    layers: int
    working: int


def kept_by_stacks(
    config: DeepseekOcrConfig,
    batch: BatchSize,
    settings: ViewSettings,
    trained: Collection[str],
    *,
    formats: Formats,
    recomputed: Collection[str] = (),
    encoded: bool = False,
) -> dict[str, Kept]:
    """Stack (sam, clip, decoder) -> what it keeps when `trained` parts learn from `batch`.

    `recomputed` stacks keep the inputs of their layers, and what one layer needs at a time.
    `encoded`: the vision side's result comes with the batch.
    """
    views = {} if encoded else views_of(batch, settings)
    stacks = {
        "sam": [_sam(config.sam_config, side, views[side], trained, formats) for side in views],
        "clip": [_clip(config, side, views[side], trained, formats) for side in views],
        "decoder": [_decoder(config.text_config, batch, trained, formats)],
    }
    return {
        name: _sum_of([_stack(layers, name in recomputed) for layers in parts])
        for name, parts in stacks.items()
    }


def views_of(batch: BatchSize, settings: ViewSettings) -> dict[int, int]:
    """Side in pixels -> number of views of a batch."""
    views = {settings.base_size: batch.overviews}
    if settings.tile_size is not None and batch.tiles:
        views[settings.tile_size] = views.get(settings.tile_size, 0) + batch.tiles
    return {side: count for side, count in views.items() if count}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Bytes: of its input, kept by it, and needed while it is computed."""

    input: int
    kept: int
    working: int


def _stack(layers: list[Layer], recomputed: bool) -> Kept:
    working = max((layer.working for layer in layers), default=0)
    if not recomputed:
        return Kept(layers=sum(layer.kept for layer in layers), working=working)
    inputs = sum(layer.input for layer in layers if layer.kept)
    return Kept(layers=inputs, working=working + max(layer.kept for layer in layers))


def _sum_of(stacks: list[Kept]) -> Kept:
    """Of stacks computed one after the other."""
    return Kept(
        layers=sum(stack.layers for stack in stacks),
        working=max((stack.working for stack in stacks), default=0),
    )


def _layer(positions: int, width: int, formats: Formats, kept: Callable[[bool], int]) -> Layer:
    """`kept(True)` is what a layer keeps at most: it needs about as much to compute it."""
    return Layer(
        input=positions * width * formats.residual,
        kept=positions * kept(False),
        working=positions * kept(True),
    )


def _sam(
    config: SamConfig, side: int, views: int, trained: Collection[str], formats: Formats
) -> list[Layer]:
    grid = side // PATCH_SIZE
    learns = "sam" in trained
    layers = []
    for index in range(config.num_hidden_layers):
        window = grid if index in config.global_attn_indexes else config.window_size

        def kept(full: bool, window: int = window) -> int:
            return sam_block(config, grid, window, formats) if full or learns else 0

        layer = _layer(views * grid**2, config.hidden_size, formats, kept)
        scores = config.num_attention_heads * views * grid**2 * window**2
        working = layer.working + block_of_scores(scores, formats)
        layers.append(replace(layer, working=working))
    return layers


def block_of_scores(num_scores: int, formats: Formats) -> int:
    """Bytes of SAM's scores while they exist, a block at a time; a fused kernel has none.

    Weights and their gradient, that of the scores, in float32; what is multiplied, twice.
    """
    if formats.fused:
        return 0
    return min(num_scores, BLOCK) * (3 * FLOAT32 + 2 * formats.product)


def sam_block(config: SamConfig, grid: int, window: int, formats: Formats) -> int:
    """Bytes a position of a view of `grid` x `grid`, where it learns.

    Two norms, GELU, the inputs of the products, and attention: queries (for the position tables,
    too), the scores of rows and columns, keys and values of windows that are filled up.
    """
    width, hidden = config.hidden_size, int(config.hidden_size * config.mlp_ratio)
    scores = config.num_attention_heads * 2 * window
    filled = (-(-grid // window) * window / grid) ** 2
    if formats.fused:
        attention = 2 * (width + scores) + 2 * filled * (width + scores) + width + scores
    else:
        attention = width + scores + 2 * filled * width
    inputs = 3 * width + 2 * hidden + 2 * width
    return int(2 * width * formats.residual + (attention + inputs) * formats.product)


def _clip(
    config: DeepseekOcrConfig, side: int, views: int, trained: Collection[str], formats: Formats
) -> list[Layer]:
    clip = config.clip_config
    flows = bool({"sam", "compressor", "clip"} & set(trained))
    learns = "clip" in trained
    positions = views * ((side // PATCH_SIZE // DOWNSAMPLE) ** 2 + 1)
    layer = _layer(
        positions,
        clip.hidden_size,
        formats,
        lambda full: clip_block(clip, formats, learns=full or learns) if full or flows else 0,
    )
    return [layer] * clip.num_hidden_layers


def clip_block(config: ClipConfig, formats: Formats, *, learns: bool) -> int:
    """Bytes a position: two norms, attention, quick GELU; where it learns, its inputs."""
    width, hidden = config.hidden_size, int(config.hidden_size * config.mlp_ratio)
    inputs = 3 * width + hidden if learns else 0
    return 2 * width * formats.residual + (4 * width + 2 * hidden + inputs) * formats.product


def _decoder(
    config: TextConfig, batch: BatchSize, trained: Collection[str], formats: Formats
) -> list[Layer]:
    flows = bool(set(trained) - {"head"})
    parts = set(trained)
    layers = []
    for index in range(config.num_hidden_layers):
        sparse = config.n_routed_experts is not None and index >= config.first_k_dense_replace

        def kept(full: bool, sparse: bool = sparse) -> int:
            learning = {"attention", "dense", "shared", "experts"} if full else parts
            return decoder_layer(config, formats, learning, sparse=sparse) if full or flows else 0

        layers.append(_layer(batch.positions, config.hidden_size, formats, kept))
    return layers


def decoder_layer(
    config: TextConfig, formats: Formats, learning: Collection[str], *, sparse: bool
) -> int:
    """Bytes a position: two norms, attention, and an MLP or experts."""
    width, heads = config.hidden_size, config.num_attention_heads
    norms = 2 * width * formats.residual
    queries = heads * config.qk_head_dim
    if config.use_mla:
        values = heads * config.v_head_dim
        latent = (config.q_lora_rank or 0) + config.kv_lora_rank + config.qk_rope_head_dim
        attention = 2 * queries + 2 * values + 2 * latent
    else:
        values = queries
        attention = 2 * queries + 2 * config.num_key_value_heads * config.qk_head_dim
    if "attention" in learning:
        attention += formats.inputs(3) * width + values
    if sparse:
        mlp = _experts(config, formats, learning)
    else:
        mlp = mlp_bytes(width, config.intermediate_size, formats, learns="dense" in learning)
    return norms + attention * formats.product + mlp


def mlp_bytes(width: int, hidden: int, formats: Formats, *, learns: bool) -> int:
    """Bytes a position: gate and up; where it learns, the products' inputs."""
    inputs = formats.inputs(2) * width + hidden if learns else 0
    return (2 * hidden + inputs) * formats.product


def _experts(config: TextConfig, formats: Formats, learning: Collection[str]) -> int:
    """Bytes a position: tokens, gate and up of the chosen, the router's scores, shared experts."""
    width, hidden = config.hidden_size, config.moe_intermediate_size
    chosen = config.num_experts_per_tok
    order = chosen * (8 + 2 * FLOAT32)
    routed = width * formats.residual + chosen * 2 * hidden * formats.product + order
    router = config.n_routed_experts * FLOAT32
    if not config.n_shared_experts:
        return router + routed
    inner = config.n_shared_experts * hidden
    return router + routed + mlp_bytes(width, inner, formats, learns="shared" in learning)


def kept_between(
    config: DeepseekOcrConfig,
    batch: BatchSize,
    settings: ViewSettings,
    trained: Collection[str],
    formats: Formats,
) -> dict[str, int]:
    """Bytes kept beside the stacks: by SAM's patches, neck and compressor, and by the projector."""
    kept = {"compressor": 0, "projector": 0}
    if not set(VISION) & set(trained):
        return kept
    sam, clip = config.sam_config, config.clip_config
    for side, views in views_of(batch, settings).items():
        patches, tokens = (side // PATCH_SIZE) ** 2, grid_side(side) ** 2
        features = clip.hidden_size + sam.downsample_channels[-1]
        kept["projector"] += views * tokens * (features + config.hidden_size) * formats.product
        if {"sam", "compressor"} & set(trained):
            neck = sam.hidden_size + 3 * sam.out_channels + sam.downsample_channels[0] // 4
            pixels = 3 * PATCH_SIZE**2 if "sam" in trained else 0
            kept["compressor"] += views * patches * (neck + pixels) * formats.product
    return kept
