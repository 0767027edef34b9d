"""The decoder's step in C: reads the model's own weights where they lie, one call a step.

Letters: n rows, S slots, V vocabulary; see `decoder.c`.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..decoding import SlotCache
from ..experts import Experts
from ..language import Attention, DecoderLayer, MixtureOfExperts, Mlp, RmsNorm, Router
from ..weight_only import WeightOnlyExperts, WeightOnlyLinear
from .library import Layer, Matrix, Model, library

KINDS = {torch.float32: 0, torch.bfloat16: 1}
WEIGHT_ONLY_KINDS = {8: 2, 4: 3}

_logger = logging.getLogger(__name__)

LANES = 16
"""Rows of weights are a multiple of so many numbers, or C does not take them."""


class NativeDecoder:
    """The decoder of a `DeepseekOcrForConditionalGeneration` over a `SlotCache`, on a CPU."""

    def __init__(self, model: Any, cache: SlotCache):
        """Raises: Unsupported."""
        found = library()
        if found is None:
            raise Unsupported("there is no compiled code")
        self._library, self._cache = found, cache
        self._kept: list[Any] = []  # what C points to
        self._source, self._places = model, _places(model)
        self._vocabulary = model.config.vocab_size
        self._model = self._of_model(model)
        self._room = torch.empty(0, dtype=torch.uint8)

    def is_current(self) -> bool:
        """Whether it is still the same modules, and all weights lie where they lay."""
        return self._places == _places(self._source)

    def step(self, slots: Sequence[int], places: Sequence[int], tokens: Tensor) -> Tensor:
        """Slots, positions of the new tokens, and the tokens (n,) -> (n, V) float32 logits."""
        count, threads = len(slots), torch.get_num_threads()
        if len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < self._vocabulary:
            raise IndexError(f"tokens must be from 0 to {self._vocabulary - 1}, got {tokens}")
        tokens = tokens.to(torch.int64).contiguous()
        logits = torch.empty(count, self._vocabulary)
        room = self._library.room_bytes(ctypes.byref(self._model), count, threads)
        if len(self._room) < room:
            self._room = torch.empty(room, dtype=torch.uint8)
        numbers = ctypes.c_int64 * count
        self._library.step(
            ctypes.byref(self._model), count, numbers(*slots), numbers(*places),
            tokens.data_ptr(), logits.data_ptr(), self._room.data_ptr(), threads,
        )  # fmt: skip
        return logits

    def _of_model(self, model: Any) -> Model:
        config, decoder = model.config.text_config, model.model
        layers = (Layer * len(decoder.layers))(*map(self._of_layer, decoder.layers))
        places = torch.arange(self._cache.num_positions)[None]
        rotation = decoder.rotary(places)
        tables = [table[0].float().contiguous() for table in (rotation.cos, rotation.sin)]
        self._kept += [layers, *tables]
        routers = [x.mlp.gate for x in decoder.layers if isinstance(x.mlp, MixtureOfExperts)]
        attention = decoder.layers[0].self_attn
        return Model(
            layers=layers,
            embedding=self._of_weight(decoder.embed_tokens.weight),
            norm=self._of_norm(decoder.norm),
            head=self._of_linear(model.lm_head),
            cos=tables[0].data_ptr(),
            sin=tables[1].data_ptr(),
            num_layers=len(decoder.layers),
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            head_width=config.qk_head_dim,
            positions=self._cache.num_positions,
            cache_kind=_kind(self._cache.keys[0]),
            num_chosen=routers[0].num_chosen if routers else 1,
            sigmoid=bool(routers and routers[0].scoring == "sigmoid"),
            normalize=bool(routers and routers[0].normalize),
            factor=routers[0].factor if routers else 1.0,
            eps=decoder.norm.eps,
            scale=attention.scale,
        )

    def _of_layer(self, layer: Any) -> Layer:
        _check(layer, DecoderLayer)
        attention, mlp = layer.self_attn, layer.mlp
        _check(attention, Attention)
        if attention.head_dim % LANES:
            raise Unsupported(f"heads are {attention.head_dim} wide")
        found = {
            "input_norm": self._of_norm(layer.input_layernorm),
            "post_norm": self._of_norm(layer.post_attention_layernorm),
            **{name: self._of_linear(getattr(attention, f"{name}_proj")) for name in "qkvo"},
        }
        if isinstance(mlp, MixtureOfExperts):
            _check(mlp, MixtureOfExperts)
            _check(mlp.gate, Router)
            if mlp.gate.method != "greedy":
                raise Unsupported(f"the router chooses by {mlp.gate.method}")
            found["router"] = self._of_weight(mlp.gate.weight)
            found |= self._of_experts(mlp.experts)
            mlp = mlp.shared_experts
        if mlp is not None:
            _check(mlp, Mlp)
            found |= {
                name: self._of_linear(getattr(mlp, f"{name}_proj"))
                for name in ("gate", "up", "down")
            }
        keys, values = (
            stack[attention.index].data_ptr() for stack in (self._cache.keys, self._cache.values)
        )
        return Layer(**found, keys=keys, values=values)

    def _of_experts(self, experts: Any) -> dict[str, Matrix]:
        if isinstance(experts, WeightOnlyExperts):
            _check(experts, WeightOnlyExperts)
            stacks = [experts.gate_up_proj, experts.down_proj]
            gate_up, down = (self._of_weight(x.codes, scales=x.scales, bits=x.bits) for x in stacks)
        else:
            _check(experts, Experts)
            gate_up, down = map(self._of_weight, (experts.gate_up_proj, experts.down_proj))
        return {"gate_up": gate_up, "expert_down": down}

    def _of_norm(self, norm: Any) -> Matrix:
        _check(norm, RmsNorm)
        return self._of_weight(norm.weight[None])

    def _of_linear(self, linear: nn.Module) -> Matrix:
        if isinstance(linear, WeightOnlyLinear):
            _check(linear, WeightOnlyLinear)
            packed = linear.packed
            return self._of_weight(packed.codes, scales=packed.scales, bits=packed.bits)
        _check(linear, nn.Linear)
        if linear.bias is not None:
            raise Unsupported("a linear layer has a bias")
        return self._of_weight(linear.weight)

    def _of_weight(
        self, weight: Tensor, *, scales: Tensor | None = None, bits: int | None = None
    ) -> Matrix:
        """A matrix, or a stack of them, by its address."""
        if type(weight.data) is not Tensor or weight.device.type != "cpu":
            raise Unsupported("weights are not on the CPU")
        columns = weight.shape[-1] * (2 if bits == 4 else 1)
        if columns % (LANES * (2 if bits == 4 else 1)) or not weight.is_contiguous():
            raise Unsupported(f"a matrix has {columns} columns, or pauses in memory")
        return Matrix(
            weights=weight.data_ptr(),
            scales=None if scales is None else scales.data_ptr(),
            rows=weight.shape[-2],
            columns=columns,
            kind=_kind(weight) if bits is None else WEIGHT_ONLY_KINDS[bits],
        )


class Unsupported(Exception):
    """The model has a part that is not written in C."""


def native_decoder(model: Any, cache: SlotCache) -> NativeDecoder | None:
    """A decoder in C for this model and cache, or None where torch has to do it."""
    if cache.keys[0].device.type != "cpu":
        return None
    try:
        return NativeDecoder(model, cache)
    except Unsupported as reason:
        _logger.debug("steps are computed by torch: %s", reason)
        return None


def _kind(tensor: Tensor) -> int:
    if tensor.dtype not in KINDS:
        raise Unsupported(f"numbers are {tensor.dtype}")
    return KINDS[tensor.dtype]


def _places(model: Any) -> list[tuple[nn.Module, bool, list[int]]]:
    """The decoder's modules, whether each does what its class does, and where its tensors lie."""
    decoder = model.model
    parts = [decoder.embed_tokens, *decoder.layers.modules(), decoder.norm, model.lm_head]
    return [
        (
            module,
            _is_plain(module),
            [
                tensor.data_ptr()
                for tensor in (*module._parameters.values(), *module._buffers.values())
                if tensor is not None
            ],
        )
        for module in parts
    ]


def _check(module: nn.Module, kind: type[nn.Module]) -> None:
    """It is just this class, and nobody changed what it does: no adapter, no hook."""
    if type(module) is not kind:
        raise Unsupported(f"{type(module).__name__} in place of {kind.__name__}")
    if not _is_plain(module):
        raise Unsupported(f"{kind.__name__} has a hook")


def _is_plain(module: nn.Module) -> bool:
    return not (module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))
