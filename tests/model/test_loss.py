"""The loss in chunks is the cross entropy of all logits at once, without ever having them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from deepseek_ocr.model import DeepseekOcrConfig, DeepseekOcrForConditionalGeneration, loss
from deepseek_ocr.model.loss import is_plain, learned_positions, summed_head_loss

IGNORE = -100
WIDTH = 6


class Adapted(nn.Module):
    """A head as an adapter makes it: a frozen product and a small one beside it."""

    def __init__(self, base: nn.Linear):
        super().__init__()
        self.base, self.out_features = base, base.out_features
        self.down = nn.Linear(base.in_features, 2, bias=False, dtype=base.weight.dtype)
        self.up = nn.Linear(2, base.out_features, bias=False, dtype=base.weight.dtype)
        base.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.up(self.down(x))


def make_head(vocabulary: int, kind: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    head = nn.Linear(WIDTH, vocabulary, bias=False, dtype=dtype)
    if kind == "adapted":
        return Adapted(head)
    head.weight.requires_grad_(kind == "trained")
    return head


def naive(hidden, head, labels, weights, smoothing) -> Tensor:
    """The weighted sum from all logits: torch's own, position by position."""
    logits = head(hidden)[:, :-1].flatten(0, 1)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    losses = F.cross_entropy(
        logits, labels[:, 1:].flatten(), reduction="none", label_smoothing=smoothing
    )
    return (losses * weights[:, 1:].flatten()).sum()


def ours(hidden, head, labels, weights, smoothing, chunk=None) -> Tensor:
    learned = learned_positions(labels, weights)
    states = hidden.flatten(0, 1).index_select(0, learned.places)
    return summed_head_loss(
        states,
        head,
        learned.targets,
        learned.weights,
        label_smoothing=smoothing,
        chunk=chunk,
    )


def loss_and_gradients(function, hidden, head, *others, scale=1.0) -> list[Tensor]:
    """The loss, and the gradients of the states and of what trains in the head."""
    hidden = hidden.detach().requires_grad_()
    head.zero_grad()
    found = function(hidden, head, *others)
    (found * scale).backward()
    trained = [p.grad.clone() for p in head.parameters() if p.requires_grad]
    return [found.detach(), hidden.grad, *trained]


# --- equal to all logits at once ----------------------------------------------------------------


@settings(max_examples=60)
@given(
    rows=st.integers(1, 3),
    length=st.integers(2, 9),
    vocabulary=st.integers(2, 40),
    chunk=st.integers(1, 30),
    share=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    smoothing=st.sampled_from([0.0, 0.1, 1.0]),
    kind=st.sampled_from(["frozen", "trained", "adapted"]),
    scale=st.sampled_from([1.0, 65536.0, 1 / 37]),
    seed=st.integers(0, 1000),
)
def test_loss_and_gradients_are_those_of_all_logits(
    rows, length, vocabulary, chunk, share, smoothing, kind, scale, seed
):
    torch.manual_seed(seed)
    hidden = torch.randn(rows, length, WIDTH, dtype=torch.float64) * 3
    head = make_head(vocabulary, kind)
    labels = torch.randint(0, vocabulary, (rows, length))
    labels[torch.rand(rows, length) >= share] = IGNORE
    weights = torch.rand(rows, length)
    expected = loss_and_gradients(naive, hidden, head, labels, weights, smoothing, scale=scale)
    found = loss_and_gradients(ours, hidden, head, labels, weights, smoothing, chunk, scale=scale)
    for ours_, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours_, theirs, rtol=1e-6, atol=1e-9 * scale)


@pytest.mark.parametrize("kind", ["frozen", "trained", "adapted"])
def test_chunks_of_float32_agree_with_float32(kind):
    torch.manual_seed(0)
    hidden, head = torch.randn(2, 40, WIDTH), make_head(300, kind, torch.float32)
    labels, weights = torch.randint(0, 300, (2, 40)), torch.ones(2, 40)
    expected = loss_and_gradients(naive, hidden, head, labels, weights, 0.1)
    found = loss_and_gradients(ours, hidden, head, labels, weights, 0.1, 7)
    for ours_, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours_, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["frozen", "trained", "adapted"])
def test_under_autocast_weights_of_float32_get_gradients_of_float32(kind, dtype):
    torch.manual_seed(0)
    hidden, head = torch.randn(2, 40, WIDTH), make_head(300, kind, torch.float32)
    labels, weights = torch.randint(0, 300, (2, 40)), torch.ones(2, 40)
    exact = loss_and_gradients(naive, hidden, head, labels, weights, 0.0)
    with torch.autocast("cpu", dtype=dtype):
        found = loss_and_gradients(ours, hidden, head, labels, weights, 0.0, 16)
    for rounded, expected in zip(found, exact, strict=True):
        assert rounded.dtype == torch.float32
        assert (rounded - expected).norm() <= 0.02 * expected.norm()


def test_in_bfloat16_the_heads_gradient_is_rounded_once():
    """Chunk by chunk in bfloat16 it would drift; the sum is kept in float32."""
    torch.manual_seed(0)
    head = make_head(50, "trained", torch.bfloat16)
    hidden = torch.randn(1, 513, WIDTH, dtype=torch.bfloat16)
    labels, weights = torch.randint(0, 50, (1, 513)), torch.ones(1, 513)
    _, _, whole = loss_and_gradients(ours, hidden, head, labels, weights, 0.0, 512)
    _, _, chunked = loss_and_gradients(ours, hidden, head, labels, weights, 0.0, 8)
    exact = head.double()
    _, _, expected = loss_and_gradients(naive, hidden.double(), exact, labels, weights, 0.0)
    assert chunked.dtype == torch.bfloat16
    assert (chunked - expected).norm() <= 1.5 * (whole - expected).norm() + 1e-3 * expected.norm()


@pytest.mark.parametrize("kind", ["frozen", "trained", "adapted"])
def test_without_a_learned_position_the_loss_is_zero_and_still_has_gradients(kind):
    """In a distributed step every process goes backward, also one whose rows learn nothing."""
    head = make_head(20, kind)
    labels = torch.full((2, 5), IGNORE)
    found = loss_and_gradients(ours, torch.randn(2, 5, WIDTH).double(), head, labels, None, 0.0)
    assert len(found) == {"frozen": 2, "trained": 3, "adapted": 4}[kind]
    assert all(not tensor.any() for tensor in found)


def test_without_gradients_the_loss_is_the_same():
    head, hidden = make_head(20, "trained"), torch.randn(1, 9, WIDTH).double()
    labels = torch.randint(0, 20, (1, 9))
    with torch.no_grad():
        silent = ours(hidden, head, labels, None, 0.1, 4)
    assert not silent.requires_grad
    torch.testing.assert_close(silent, ours(hidden, head, labels, None, 0.1, 4).detach())


def test_a_second_backward_pass_adds_the_same_again():
    head, hidden = make_head(20, "trained"), torch.randn(1, 9, WIDTH).double()
    found = ours(hidden, head, torch.randint(0, 20, (1, 9)), None, 0.0)
    found.backward(retain_graph=True)
    once = head.weight.grad.clone()
    found.backward()
    torch.testing.assert_close(head.weight.grad, 2 * once)


# --- which positions ----------------------------------------------------------------------------


def test_a_position_learns_the_next_label_with_that_labels_weight():
    labels = torch.tensor([[7, IGNORE, 5, 6], [IGNORE, 8, IGNORE, 9]])
    weights = torch.arange(8.0).view(2, 4)
    learned = learned_positions(labels, weights)
    assert learned.places.tolist() == [1, 2, 4, 6]
    assert learned.targets.tolist() == [5, 6, 8, 9]
    assert learned.weights.tolist() == [2, 3, 5, 7]


def test_no_segment_is_predicted_from_the_one_before():
    labels = torch.tensor([[1, 2, 3, 4, 5, 6]])
    learned = learned_positions(labels, None, torch.tensor([[1, 1, 1, 2, 2, 0]]))
    assert learned.targets.tolist() == [2, 3, 5]


@pytest.mark.parametrize("name", ["label_weights", "segment_ids"])
def test_weights_or_segments_of_another_shape_are_refused(name):
    with pytest.raises(
        ValueError, match=rf"{name} of shape \(1, 3\) do not fit labels of \(1, 4\)"
    ):
        learned_positions(torch.ones(1, 4, dtype=torch.long), **{name: torch.ones(1, 3)})


# --- which way ----------------------------------------------------------------------------------


def test_a_head_that_does_more_than_one_product_is_called_as_a_module():
    assert is_plain(nn.Linear(2, 3, bias=False))
    assert not is_plain(nn.Linear(2, 3))
    assert not is_plain(Adapted(nn.Linear(2, 3, bias=False)))
    hooked = nn.Linear(2, 3, bias=False)
    hooked.register_forward_hook(lambda *_: None)
    assert not is_plain(hooked)
    replaced = nn.Linear(2, 3, bias=False)
    replaced.forward = replaced.forward
    assert not is_plain(replaced)


def test_dropout_in_the_head_is_drawn_alike_when_computed_again():
    torch.manual_seed(0)
    head = nn.Sequential(nn.Dropout(0.5), make_head(20, "trained")).double().train()
    hidden = torch.randn(1, 9, WIDTH).double()
    labels = torch.randint(0, 20, (1, 9))
    point = torch.get_rng_state()

    def total(states: Tensor) -> Tensor:
        torch.set_rng_state(point)
        return ours(states, head, labels, None, 0.0, 3)

    assert torch.autograd.gradcheck(total, (hidden.requires_grad_(),))


# --- memory -------------------------------------------------------------------------------------


class LargestTensor(TorchDispatchMode):
    """Remembers the most elements that any operation gave back."""

    largest = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and not leaf._is_view():
                self.largest = max(self.largest, leaf.numel())
        return result


VOCABULARY, CHUNK = 5000, 16


def wide_model(kind: str) -> nn.Module:
    """A vocabulary so large that logits would be by far the largest tensor."""
    torch.manual_seed(0)
    config = DeepseekOcrConfig(
        sam_config={"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "out_channels": 4, "downsample_channels": [4, 8], "image_size": 64},
        clip_config={"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1},
        text_config={"vocab_size": VOCABULARY, "hidden_size": 8, "intermediate_size": 16, "moe_intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "n_routed_experts": 4, "num_experts_per_tok": 2, "max_position_embeddings": 1024},
        image_token_id=VOCABULARY - 1,
    )  # fmt: skip
    model = DeepseekOcrForConditionalGeneration(config).train()
    if kind == "adapted":
        import peft

        lora = peft.LoraConfig(r=2, target_modules=r"lm_head|.*self_attn\.q_proj")
        model = peft.get_peft_model(model, lora)
    else:
        model.lm_head.requires_grad_(kind == "trained")
    return model


@pytest.mark.parametrize("kind", ["frozen", "trained", "adapted"])
def test_no_tensor_is_as_large_as_all_logits_or_twice_a_chunk(kind, monkeypatch):
    monkeypatch.setattr(loss, "CHUNK_ELEMENTS", CHUNK * VOCABULARY)
    model = wide_model(kind)
    ids = torch.randint(0, VOCABULARY - 1, (2, 200))
    labels = ids.clone()
    labels[:, :50] = IGNORE
    with LargestTensor() as seen:
        model(input_ids=ids, labels=labels).loss.backward()
    assert 200 * VOCABULARY > 10 * CHUNK * VOCABULARY
    assert seen.largest <= CHUNK * VOCABULARY


@pytest.mark.parametrize("kind", ["frozen", "trained", "adapted"])
def test_no_logits_are_kept_for_the_backward_pass(kind, monkeypatch):
    monkeypatch.setattr(loss, "CHUNK_ELEMENTS", CHUNK * VOCABULARY)
    model = wide_model(kind)
    ids = torch.randint(0, VOCABULARY - 1, (2, 200))
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = []

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(input_ids=ids, labels=ids)
    # the gradient of a trained head is made in the forward pass, and has the size of the head
    assert max(kept) <= max(8 * VOCABULARY if kind == "trained" else 0, 2 * 200 * 64)
