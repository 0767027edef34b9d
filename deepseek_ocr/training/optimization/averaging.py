"""A running average of what trains: smoother than the last weights, and often better.

    average <- d average + (1 - d) weights,  after each step

With d = min(decay, (1 + n) / (10 + n)) after n steps, the average is not held back by the weights
that training began with (as in TensorFlow's ExponentialMovingAverage; Polyak and Juditsky 1992).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from ..processes.sharding import as_shared


class Average:
    """The average of the parameters of `model` that train, after `num_steps` steps.

    Made from a model whose weights are the average so far (at the start: the first weights). Where
    processes share the parameters, each averages its own pieces.
    """

    def __init__(self, model: nn.Module, decay: float, num_steps: int = 0):
        self.decay, self.num_steps = decay, num_steps
        self._others = {name: p.detach().clone() for name, p in _trained(model)}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        self.num_steps += 1
        decay = min(self.decay, (1 + self.num_steps) / (10 + self.num_steps))
        weights = [_own_piece(p) for _, p in _trained(model)]
        torch._foreach_lerp_(_own_pieces(self._others.values()), weights, 1 - decay)

    @contextlib.contextmanager
    def in_place_of(self, model: nn.Module) -> Iterator[None]:
        """While this lasts `model` holds the average; afterwards its own weights, bit for bit."""
        self._swap(model)
        try:
            yield
        finally:
            self._swap(model)

    def tensors(self) -> dict[str, Tensor]:
        """The side that is not in the model: the average; within `in_place_of` the weights."""
        return dict(self._others)

    @torch.no_grad()
    def load(self, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """Go on from a checkpoint: `model` holds its average, `weights` are what trains, by name.

        Raises:
            KeyError: weights of a parameter are missing.
        """
        for name, parameter in _trained(model):
            _own_piece(self._others[name]).copy_(_own_piece(parameter))
            _own_piece(parameter).copy_(_own_piece(as_shared(weights[name], parameter)))

    @torch.no_grad()
    def _swap(self, model: nn.Module) -> None:
        for name, parameter in _trained(model):
            ours, theirs = _own_piece(self._others[name]), _own_piece(parameter)
            kept = theirs.clone()
            theirs.copy_(ours)
            ours.copy_(kept)


def _trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def _own_pieces(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [_own_piece(tensor) for tensor in tensors]


def _own_piece(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor that processes share (a DTensor), else all of it."""
    local = getattr(tensor, "_local_tensor", None)
    return tensor if local is None else local
