"""Ternary linear layers trained with a straight-through estimator, and their export to TQ2_0.

Forward, exactly what a ternary kernel computes: the input row is quantized to int8 with one scale per token
(absolute maximum / 127, round half to even, clamp to +-127), the weight to {-1, 0, +1} times one scale per tensor
(mean of the absolute values, rounded to float16 so that a TQ2_0 block holds it exactly). Backward passes gradients
through both roundings unchanged (BitNet b1.58, arXiv:2402.17764). Integers up to 127 are exact in bfloat16, so the
products may run there: faster on CPUs with AVX512-BF16 or AMX, and only the sum is rounded.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

INT8_MAX = 127.0
TINY = 1e-20  # the scale of an all-zero row; its codes are zero


def quantize_activations(x: Tensor) -> tuple[Tensor, Tensor]:
    """int8 codes (as float32) and one scale per row of the last dimension."""
    scale = (x.abs().amax(dim=-1, keepdim=True) / INT8_MAX).clamp_min(TINY)
    return (x / scale).round_().clamp_(-INT8_MAX, INT8_MAX), scale


def ternarize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Codes in {-1, 0, +1} (as float32) and the tensor's scale, a float16 value held as float32."""
    scale = weight.abs().mean().clamp_min(6e-5).to(torch.float16).to(torch.float32)
    return (weight / scale).round_().clamp_(-1.0, 1.0), scale


class _TernaryProduct(torch.autograd.Function):
    """x [..., K] times several weights [N_i, K] that share the input; outputs are concatenated along N."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, compute: torch.dtype, *weights: Tensor) -> Tensor:
        shape = x.shape
        codes_x, scale_x = quantize_activations(x.reshape(-1, shape[-1]))
        quantized = [ternarize(weight) for weight in weights]
        codes_w = torch.cat([codes for codes, _ in quantized])
        row_scales = torch.cat([scale.expand(codes.shape[0]) for codes, scale in quantized])
        low_x, low_w = codes_x.to(compute), codes_w.to(compute)
        y = (low_x @ low_w.T).float().mul_(scale_x).mul_(row_scales)
        ctx.save_for_backward(low_x, scale_x, low_w, row_scales)
        ctx.sizes = [weight.shape[0] for weight in weights]
        return y.view(*shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        low_x, scale_x, low_w, row_scales = ctx.saved_tensors
        grad = grad_outputs[0]
        flat = grad.reshape(-1, grad.shape[-1])
        grad_x = ((flat * row_scales).to(low_w.dtype) @ low_w).float().view(*grad.shape[:-1], -1)
        grad_w = ((flat * scale_x).to(low_x.dtype).T @ low_x).float()
        return (grad_x, None, *grad_w.split(ctx.sizes))


class Linear(nn.Module):
    """A bias-free linear layer.

    `ternary` is for training: weights are ternarized in every forward pass. Without it the weight is used as it is:
    the float twin, or with `int8_activations` a stored ternary checkpoint.
    """

    def __init__(self, inputs: int, outputs: int, ternary: bool, compute: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.ternary = ternary
        self.int8_activations = ternary
        self.compute = compute
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * inputs**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        return shared_input_linear(x, [self])[0]

    @torch.no_grad()
    def exported_weight(self) -> Tensor:
        """The weight as the forward pass uses it, in float32."""
        if not self.ternary:
            return self.weight.detach().clone()
        codes, scale = ternarize(self.weight)
        return codes * scale


def shared_input_linear(x: Tensor, layers: list[Linear]) -> list[Tensor]:
    """Applies several layers to one input (Q, K, V; gate, up): the input is quantized once, the product is one."""
    first = layers[0]
    sizes = [layer.weight.shape[0] for layer in layers]
    if first.ternary:
        y = _TernaryProduct.apply(x, first.compute, *[layer.weight for layer in layers])
    else:
        if first.int8_activations:
            codes, scale = quantize_activations(x)
            x = codes * scale
        weight = torch.cat([layer.weight for layer in layers])
        y = (x.to(first.compute) @ weight.to(first.compute).T).float()
    return list(y.split(sizes, dim=-1))
