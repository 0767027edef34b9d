"""Rows in slots have the logits that they have alone, by torch and by compiled code alike."""

from __future__ import annotations

import copy
import platform
import subprocess

import pytest
import torch
from torch import nn

from deepseek_ocr.inference.slots import SlotDecoder
from deepseek_ocr.model import DeepseekOcrConfig, DeepseekOcrForConditionalGeneration, static_step
from deepseek_ocr.model.native import library as native_library
from deepseek_ocr.model.static_step import StaticStep
from deepseek_ocr.model.weight_only import quantize_weights
from tests.conftest import tiny_config

SIZES = {
    "vocab_size": 61, "hidden_size": 64, "intermediate_size": 96, "moe_intermediate_size": 32,
    "num_hidden_layers": 3, "num_attention_heads": 4, "n_routed_experts": 8,
    "num_experts_per_tok": 3, "max_position_embeddings": 128,
}  # fmt: skip
LATENT = {"use_mla": True, "kv_lora_rank": 12, "qk_nope_head_dim": 8, "qk_rope_head_dim": 6, "v_head_dim": 10}  # fmt: skip
COMPILED = {
    "published": {},
    "fewer key heads": {"num_key_value_heads": 2},
    "sigmoid, normalized": {"scoring_func": "sigmoid", "norm_topk_prob": True, "routed_scaling_factor": 2.5},
    "no shared experts": {"n_shared_experts": None},
    "dense": {"n_routed_experts": None},
}  # fmt: skip
BY_TORCH = {
    "latent attention": LATENT,
    "groups of experts": {"topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2},
    "odd widths": {"moe_intermediate_size": 24},
}  # fmt: skip
CLOSE = {"rtol": 0.0, "atol": 1e-4}
LENGTHS = (5, 31, 1, 17)


def random_model(**text) -> DeepseekOcrForConditionalGeneration:
    """A small model whose logits tell tokens apart."""
    parts = tiny_config()
    config = DeepseekOcrConfig(
        sam_config=parts.sam_config.to_dict(),
        clip_config=parts.clip_config.to_dict(),
        text_config=SIZES | text,
        image_token_id=7,
    )
    torch.manual_seed(0)
    model = DeepseekOcrForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.08).add_(1.0 if parameter.ndim == 1 else 0.0)
    return model


@pytest.fixture(scope="module")
def model():
    return random_model()


def random_rows(lengths=LENGTHS) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(8, 61, (length,), generator=generator) for length in lengths]


def embedded(model, rows) -> list[torch.Tensor]:
    return [model.get_input_embeddings()(row).detach() for row in rows]


@torch.no_grad()
def alone(model, rows) -> torch.Tensor:
    """(n, V) logits after each row, computed from its beginning and by itself."""
    return torch.stack([model(input_ids=row[None]).logits[0, -1] for row in rows])


def extended(rows, tokens) -> list[torch.Tensor]:
    return [torch.cat([row, token[None]]) for row, token in zip(rows, tokens, strict=True)]


def check_rows(decoder, model, rows, slots, steps=4) -> None:
    """Prefill and some greedy steps, each beside the plain model."""
    logits = decoder.prefill(slots, embedded(model, rows))
    for _ in range(steps):
        expected = alone(model, rows)
        torch.testing.assert_close(logits, expected, **CLOSE)
        assert logits.argmax(-1).tolist() == expected.argmax(-1).tolist()
        rows = extended(rows, logits.argmax(-1))
        logits = decoder.step(torch.tensor(slots), logits.argmax(-1))
        assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, alone(model, rows), **CLOSE)


@pytest.fixture(params=["compiled", "torch"])
def way(request, monkeypatch):
    """By compiled code, and with that switched off."""
    if request.param == "torch":
        monkeypatch.setenv(native_library.SWITCH, "0")
    return request.param


@pytest.mark.parametrize("text", COMPILED.values(), ids=COMPILED)
def test_rows_of_unlike_lengths_have_the_logits_that_they_have_alone(text, way):
    model = random_model(**text)
    decoder = SlotDecoder(model, num_slots=6, num_positions=64)
    check_rows(decoder, model, random_rows(), [4, 0, 5, 2])
    assert decoder.is_compiled == (way == "compiled")


@pytest.mark.parametrize("text", BY_TORCH.values(), ids=BY_TORCH)
def test_what_is_not_compiled_is_computed_by_torch(text):
    model = random_model(**text)
    decoder = SlotDecoder(model, num_slots=4, num_positions=64)
    check_rows(decoder, model, random_rows(), [0, 1, 2, 3])
    assert not decoder.is_compiled


@pytest.mark.parametrize("chunk", [1, 7, 31, 54, 1000])
def test_a_prompt_in_chunks_has_the_logits_of_the_whole(model, chunk):
    rows = random_rows()
    decoder = SlotDecoder(model, num_slots=4, num_positions=40)
    logits = decoder.prefill([3, 1, 0, 2], embedded(model, rows), chunk=chunk)
    torch.testing.assert_close(logits, alone(model, rows), **CLOSE)


def test_a_prompt_piece_by_piece_while_others_go_on(model, way):
    decoder = SlotDecoder(model, num_slots=2, num_positions=64)
    (long,), (other,) = random_rows([20]), random_rows([6])
    logits = decoder.prefill([1], embedded(model, [other]))
    for start in range(0, 20, 8):
        piece = long[start : start + 8]
        found = decoder.extend([0], embedded(model, [piece]))
        other = torch.cat([other, logits.argmax(-1)])
        logits = decoder.step(torch.tensor([1]), logits.argmax(-1))
    torch.testing.assert_close(found, alone(model, [long]), **CLOSE)
    torch.testing.assert_close(logits, alone(model, [other]), **CLOSE)


def test_rows_join_and_leave(model, way):
    decoder = SlotDecoder(model, num_slots=2, num_positions=32)
    first, second, third = random_rows([9, 4, 12])
    logits = decoder.prefill([0, 1], embedded(model, [first, second]))
    decoder.free([0])
    assert [decoder.length(0), decoder.length(1)] == [0, 4]
    check_rows(decoder, model, [third], [0], steps=2)
    second = extended([second], logits[1:].argmax(-1))
    found = decoder.step(torch.tensor([1]), logits[1:].argmax(-1))
    torch.testing.assert_close(found, alone(model, second), **CLOSE)


def test_a_prompt_is_continued_in_several_ways(model, way):
    decoder = SlotDecoder(model, num_slots=3, num_positions=32)
    decoder.prefill([1], embedded(model, random_rows([9])))
    decoder.copy(1, [2, 0])
    tokens = torch.tensor([20, 21, 22])
    found = decoder.step(torch.tensor([0, 1, 2]), tokens)
    expected = alone(model, extended(random_rows([9]) * 3, tokens))
    torch.testing.assert_close(found, expected, **CLOSE)
    with pytest.raises(ValueError, match=r"rows of 10 and of \[10\] positions"):
        decoder.copy(0, [1])


def test_many_rows_at_once(model, way):
    lengths = [1 + i % 13 for i in range(40)]
    decoder = SlotDecoder(model, num_slots=40, num_positions=32)
    check_rows(decoder, model, random_rows(lengths), list(range(40)), steps=2)


def test_several_threads_compute_what_one_does(model):
    rows = random_rows([40, 3])
    tokens, found = torch.tensor([11, 12]), []
    for threads in (1, 3):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            decoder = SlotDecoder(model, num_slots=2, num_positions=64)
            decoder.prefill([0, 1], embedded(model, rows))
            found.append(decoder.step(torch.tensor([0, 1]), tokens))
        finally:
            torch.set_num_threads(before)
    assert decoder.is_compiled
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("hidden", [32, 48])
def test_in_bfloat16_the_error_is_that_of_the_plain_model_at_most(hidden, way):
    """Beside float32, root mean square, and the best token where it is clear."""
    rounded = random_model(moe_intermediate_size=hidden).bfloat16()
    exact = copy.deepcopy(rounded).float()  # the same weights, so that arithmetic alone differs
    rows = random_rows([23, 40, 9, 30, 1, 2, 5])
    decoder = SlotDecoder(rounded, num_slots=7, num_positions=64)
    logits = decoder.prefill(range(7), embedded(rounded, rows))
    ours, plain, truth = [], [], []
    for _ in range(5):
        expected = alone(exact, rows)
        ours.append(logits)
        plain.append(alone(rounded, rows).float())
        truth.append(expected)
        rows = extended(rows, expected.argmax(-1))
        logits = decoder.step(torch.arange(7), expected.argmax(-1))
    ours, plain, truth = (torch.cat(parts) for parts in (ours, plain, truth))
    error, allowed = ((found - truth).square().mean().sqrt() for found in (ours, plain))
    assert error <= 1.25 * allowed
    best = truth.topk(2).values
    clear = best[:, 0] - best[:, 1] > 4 * allowed
    assert clear.any()
    assert (ours.argmax(-1) == truth.argmax(-1))[clear].all()


@pytest.mark.parametrize("quantize", ["int8", "int4"])
def test_quantized_weights_are_the_same_compiled_and_by_torch(model, quantize, monkeypatch):
    small = copy.deepcopy(model)
    quantize_weights(small, quantize)
    rows = random_rows()
    found = []
    for switch in ("1", "0"):
        monkeypatch.setenv(native_library.SWITCH, switch)
        decoder = SlotDecoder(small, num_slots=4, num_positions=64)
        decoder.prefill(range(4), embedded(small, rows))
        found.append(decoder.step(torch.arange(4), torch.tensor([9, 10, 11, 12])))
        assert decoder.is_compiled == (switch == "1")
    torch.testing.assert_close(*found, **CLOSE)
    torch.testing.assert_close(
        found[0], alone(small, extended(rows, torch.tensor([9, 10, 11, 12]))), **CLOSE
    )


def test_weights_that_change_are_seen_at_the_next_prompt(model):
    changing = copy.deepcopy(model)
    decoder = SlotDecoder(changing, num_slots=1, num_positions=64)
    check_rows(decoder, changing, random_rows([6]), [0], steps=1)
    with torch.no_grad():
        changing.lm_head.weight.mul_(1.5)  # in place, as an optimizer does
    changing.model.layers[1].self_attn.q_proj.weight.data = torch.randn(64, 64) * 0.1
    decoder.free([0])
    check_rows(decoder, changing, random_rows([6]), [0], steps=1)
    assert decoder.is_compiled


@pytest.mark.parametrize("change", ["assigned", "hooked", "wrapped"])
def test_modules_that_change_are_seen_at_the_next_prompt(model, change):
    class Doubled(nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base = base

        def forward(self, x):
            return 2 * self.base(x)

    changing = copy.deepcopy(model)
    decoder = SlotDecoder(changing, num_slots=1, num_positions=64)
    check_rows(decoder, changing, random_rows([6]), [0], steps=1)
    attention = changing.model.layers[0].self_attn
    if change == "assigned":  # as `load_state_dict(assign=True)` does
        attention.q_proj.weight = nn.Parameter(torch.randn(64, 64) * 0.1)
    elif change == "hooked":
        attention.q_proj.register_forward_hook(lambda _, __, out: out * 2)
    else:  # as an adapter does
        attention.q_proj = Doubled(attention.q_proj)
    decoder.free([0])
    check_rows(decoder, changing, random_rows([6]), [0], steps=1)
    assert decoder.is_compiled == (change == "assigned")


def test_under_autocast_a_cache_in_float32_is_read_as_such(model, way):
    rows = random_rows()
    decoder = SlotDecoder(model, num_slots=4, num_positions=64)
    with torch.autocast("cpu", torch.bfloat16):
        logits = decoder.prefill([0, 1, 2, 3], embedded(model, rows))
    exact = alone(model, rows)
    assert (logits - exact).square().mean().sqrt() < 0.05 * exact.std()


def test_a_hook_or_an_adapter_is_not_passed_over(model):
    hooked = copy.deepcopy(model)
    hooked.model.layers[0].self_attn.q_proj.register_forward_hook(lambda _, __, out: out * 2)
    decoder = SlotDecoder(hooked, num_slots=1, num_positions=64)
    check_rows(decoder, hooked, random_rows([6]), [0], steps=1)
    assert not decoder.is_compiled


@pytest.mark.parametrize("text", COMPILED.values(), ids=COMPILED)
def test_the_step_of_a_device_computes_the_same(text, monkeypatch):
    """All slots each time, in shapes that never change; here without a graph of it."""
    model = random_model(**text)
    monkeypatch.setattr(static_step, "STRIDE", 16)  # so that several are looked at
    monkeypatch.setattr(SlotDecoder, "_prepare", lambda self: None)
    decoder = SlotDecoder(model, num_slots=6, num_positions=36)
    for stack in (*decoder._cache.keys, *decoder._cache.values):
        stack.zero_()
    decoder._static = StaticStep(model, decoder._cache, graphs=False)
    waiting, full = random_rows([10, 36])
    decoder.prefill([1, 3], embedded(model, [waiting, full]))  # beside those that take steps
    check_rows(decoder, model, random_rows(), [4, 0, 5, 2])
    token = torch.tensor([20])
    found = decoder.step(torch.tensor([1]), token)
    torch.testing.assert_close(found, alone(model, extended([waiting], token)), **CLOSE)
    assert decoder._static.is_current()


def test_memory_is_known_before_it_is_taken(model):
    for text, dtype in (({}, torch.float32), ({}, torch.bfloat16), (LATENT, torch.float32)):
        found = random_model(**text).to(dtype)
        decoder = SlotDecoder(found, num_slots=3, num_positions=20)
        tensors = [*decoder._cache.keys, *decoder._cache.values]
        taken = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        assert SlotDecoder.bytes_needed(found.config, 3, 20, dtype) == taken


def test_the_published_model_takes_61440_bytes_a_position():
    assert SlotDecoder.bytes_needed(DeepseekOcrConfig(), 1, 1, torch.bfloat16) == 61_440


class TestRefusals:
    @pytest.fixture
    def decoder(self, model):
        return SlotDecoder(model, num_slots=2, num_positions=8)

    @pytest.mark.parametrize(
        "slots, lengths, named",
        [
            ([0], [9], "slot 0 has 0 of 8 positions taken; 9 more do not fit"),
            ([2], [1], "no slot 2; there are 2"),
            ([-1], [1], "no slot -1"),
            ([0, 0], [1, 1], "expected 2 unlike slots"),
            ([0], [1, 1], "expected 2 unlike slots"),
            ([1], [0], "the row for slot 1 has no tokens"),
        ],
    )
    def test_a_prompt_that_does_not_fit(self, decoder, model, slots, lengths, named):
        with pytest.raises(ValueError, match=named):
            decoder.prefill(slots, [torch.zeros(length, 64) for length in lengths])

    def test_a_slot_that_is_taken(self, decoder):
        decoder.prefill([1], [torch.zeros(3, 64)])
        with pytest.raises(ValueError, match="slot 1 holds a row of 3 positions"):
            decoder.prefill([1], [torch.zeros(3, 64)])

    def test_a_step_of_an_empty_or_a_full_slot(self, decoder):
        with pytest.raises(ValueError, match="slot 0 holds no row"):
            decoder.step(torch.tensor([0]), torch.tensor([9]))
        decoder.prefill([0], [torch.zeros(8, 64)])
        with pytest.raises(ValueError, match="slot 0 has 8 of 8 positions"):
            decoder.step(torch.tensor([0]), torch.tensor([9]))

    @pytest.mark.parametrize("token", [-1, 61])
    def test_a_token_that_does_not_exist(self, decoder, token, way):
        decoder.prefill([0], [torch.zeros(2, 64)])
        with pytest.raises(IndexError):
            decoder.step(torch.tensor([0]), torch.tensor([token]))

    def test_no_slots(self, model):
        with pytest.raises(ValueError, match="at least one slot"):
            SlotDecoder(model, num_slots=0, num_positions=8)


def test_a_failed_prompt_leaves_the_lengths_as_they_were(model, monkeypatch):
    decoder = SlotDecoder(model, num_slots=1, num_positions=64)
    decoder.prefill([0], [torch.zeros(3, 64)])
    layer = model.model.layers[2]
    calls = []

    def fail(*_):
        calls.append(1)
        if len(calls) == 2:  # in the second chunk
            raise RuntimeError("not enough memory")
        return forward(*_)

    forward = layer.post_attention_layernorm.forward
    monkeypatch.setattr(layer.post_attention_layernorm, "forward", fail)
    with pytest.raises(RuntimeError, match="not enough memory"):
        decoder.extend([0], [torch.zeros(10, 64)], chunk=5)
    assert decoder.length(0) == 3


def test_other_models_are_not_supported(model):
    assert SlotDecoder.supports(model)
    assert not SlotDecoder.supports(nn.Linear(2, 2))
    spread = copy.deepcopy(model)
    spread.lm_head.to("meta")
    assert not SlotDecoder.supports(spread)


class TestBuilding:
    @pytest.fixture(autouse=True)
    def _anew(self, tmp_path, monkeypatch):
        monkeypatch.setenv("DEEPSEEK_OCR_CACHE", str(tmp_path / "cache"))
        quickly = ("-O0", *native_library.FLAGS[1:])
        monkeypatch.setattr(native_library, "FLAGS", quickly)
        native_library._library.cache_clear()
        yield
        native_library._library.cache_clear()

    def test_it_is_compiled_once_and_kept(self, tmp_path, monkeypatch):
        assert native_library.library() is not None
        (kept,) = (tmp_path / "cache" / "native").iterdir()
        native_library._library.cache_clear()
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("compiled again"))
        assert native_library.library() is not None
        assert kept.exists()

    @pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
    def test_without_a_compiler_torch_does_it(self, model, monkeypatch, compiler):
        monkeypatch.setenv("CC", compiler)
        decoder = SlotDecoder(model, num_slots=1, num_positions=64)
        check_rows(decoder, model, random_rows([5]), [0], steps=1)
        assert not decoder.is_compiled

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_a_plainer_processor_computes_the_same(self, model, monkeypatch, dtype):
        """Without the instructions for which parts are written by hand."""
        found, small = [], copy.deepcopy(model).to(dtype)
        plainer = ("-mno-avx512f",) if platform.machine() == "x86_64" else ()
        for flags in ((), plainer):
            monkeypatch.setattr(native_library, "FLAGS", (*native_library.FLAGS, *flags))
            native_library._library.cache_clear()
            decoder = SlotDecoder(small, num_slots=2, num_positions=64)
            decoder.prefill([1, 0], embedded(small, random_rows([30, 4])))
            found.append(decoder.step(torch.tensor([1, 0]), torch.tensor([9, 10])))
            assert decoder.is_compiled
        allowed = 1e-4 if dtype == torch.float32 else 0.02 * float(found[0].std())
        assert (found[0] - found[1]).abs().max() <= allowed

    def test_without_a_place_to_keep_it(self, tmp_path, monkeypatch):
        monkeypatch.setenv("DEEPSEEK_OCR_CACHE", "")
        assert native_library.library() is not None
        native_library._library.cache_clear()
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("DEEPSEEK_OCR_CACHE", str(tmp_path / "file"))
        assert native_library.library() is not None
