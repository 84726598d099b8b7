"""A plain `llama` network (RMSNorm, RoPE, SwiGLU, tied embeddings) whose linear layers may be ternary.

Parameter names and the rotary pairing (halves) follow Hugging Face's LlamaForCausalLM, so that `export_state`
is a checkpoint that `transformers` loads as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ternary import Linear, shared_input_linear


@dataclass(frozen=True)
class LlamaShape:
    """Dimensions of the network. K of every linear layer must be a multiple of 256 (a TQ2_0 block)."""

    vocab: int = 2048
    hidden: int = 256
    ffn: int = 768
    layers: int = 4
    heads: int = 8
    kv_heads: int = 8
    context: int = 512
    rope_theta: float = 10000.0
    norm_epsilon: float = 1e-5

    @property
    def head_size(self) -> int:
        return self.hidden // self.heads


class RMSNorm(nn.Module):
    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon) * self.weight


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary embedding of [batch, heads, T, head size]; a pair is (i, i + half)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


class Attention(nn.Module):
    def __init__(self, shape: LlamaShape, ternary: bool, compute: torch.dtype) -> None:
        super().__init__()
        self.shape = shape
        size = shape.head_size
        self.q_proj = Linear(shape.hidden, shape.heads * size, ternary, compute)
        self.k_proj = Linear(shape.hidden, shape.kv_heads * size, ternary, compute)
        self.v_proj = Linear(shape.hidden, shape.kv_heads * size, ternary, compute)
        self.o_proj = Linear(shape.heads * size, shape.hidden, ternary, compute)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = (
            y.view(batch, length, -1, self.shape.head_size).transpose(1, 2)
            for y in shared_input_linear(x, [self.q_proj, self.k_proj, self.v_proj])
        )
        q, k = rotate(q, cosine, sine), rotate(k, cosine, sine)
        grouped = self.shape.kv_heads != self.shape.heads
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
        return self.o_proj(y.transpose(1, 2).reshape(batch, length, -1))


class FeedForward(nn.Module):
    def __init__(self, shape: LlamaShape, ternary: bool, compute: torch.dtype) -> None:
        super().__init__()
        self.gate_proj = Linear(shape.hidden, shape.ffn, ternary, compute)
        self.up_proj = Linear(shape.hidden, shape.ffn, ternary, compute)
        self.down_proj = Linear(shape.ffn, shape.hidden, ternary, compute)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = shared_input_linear(x, [self.gate_proj, self.up_proj])
        return self.down_proj(F.silu(gate) * up)


class Layer(nn.Module):
    def __init__(self, shape: LlamaShape, ternary: bool, compute: torch.dtype) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(shape.hidden, shape.norm_epsilon)
        self.self_attn = Attention(shape, ternary, compute)
        self.post_attention_layernorm = RMSNorm(shape.hidden, shape.norm_epsilon)
        self.mlp = FeedForward(shape, ternary, compute)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor, wanted: Tensor | None = None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cosine, sine)
        if wanted is not None:
            x = x[wanted]
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """tokens [batch, T] -> final hidden states [batch, T, hidden]; `logits` applies the tied embedding.

    With `wanted` (a mask [batch, T]) only those positions are finished, and the result is [count, hidden].
    """

    def __init__(self, shape: LlamaShape, ternary: bool, compute: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab, shape.hidden)
        nn.init.normal_(self.embed_tokens.weight, std=0.05)
        self.layers = nn.ModuleList(Layer(shape, ternary, compute) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.hidden, shape.norm_epsilon)
        self.start_as_copier()
        half = shape.head_size // 2
        frequencies = shape.rope_theta ** (-torch.arange(half, dtype=torch.float32) / half)
        angles = torch.arange(shape.context, dtype=torch.float32)[:, None] * frequencies
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)

    def forward(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        length = tokens.shape[1]
        if length > self.shape.context:
            raise ValueError(f"{length} tokens do not fit the context of {self.shape.context}")
        x = self.embed_tokens(tokens)
        cosine, sine = self.cosine[:length], self.sine[:length]
        last = len(self.layers) - 1
        for index, layer in enumerate(self.layers):
            x = layer(x, cosine, sine, wanted if index == last else None)
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden @ self.embed_tokens.weight.T

    @torch.no_grad()
    def start_as_copier(self) -> None:
        """Q = K and O = V^T: at first every head looks for its own token and passes it on ("mimetic" initialization,
        arXiv:2305.09828). Attention that copies then forms several times sooner. Needs as many KV heads as heads."""
        if self.shape.kv_heads != self.shape.heads:
            return
        for layer in self.layers:
            attention = layer.self_attn
            attention.k_proj.weight.copy_(attention.q_proj.weight)
            attention.o_proj.weight.copy_(attention.v_proj.weight.T)

    def set_ternary(self, ternary: bool) -> None:
        """Switches the linear layers between ternary and plain arithmetic; the master weights stay."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.ternary = module.int8_activations = ternary

    def set_compute(self, compute: torch.dtype) -> None:
        """Chooses the type in which the linear layers multiply."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.compute = compute

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], shape: LlamaShape, int8_activations: bool) -> Llama:
        """A network for inference on stored weights, in float32."""
        model = cls(shape, ternary=False)
        model.load_state_dict({name.removeprefix("model."): value for name, value in state.items()})
        for module in model.modules():
            if isinstance(module, Linear):
                module.int8_activations = int8_activations
        return model.requires_grad_(False)

    @torch.no_grad()
    def export_state(self) -> dict[str, Tensor]:
        """Hugging Face parameter names and values; ternary weights dequantized, the embedding rounded to float16."""
        state = {
            "model.embed_tokens.weight": self.embed_tokens.weight.to(torch.float16).float(),
            "model.norm.weight": self.norm.weight.detach().clone(),
        }
        for name, module in self.layers.named_modules():
            if isinstance(module, Linear):
                state[f"model.layers.{name}.weight"] = module.exported_weight()
            elif isinstance(module, RMSNorm):
                state[f"model.layers.{name}.weight"] = module.weight.detach().clone()
        return state
