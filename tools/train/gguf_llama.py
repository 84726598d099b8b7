"""Writes a `llama` checkpoint with Hugging Face parameter names to a GGUF file, and reads it back.

Linear weights become TQ2_0 (or stay F32), the embedding F16, norms F32. Rows of Q and K are reordered from the
Hugging Face rotary pairing (i, i + half) to the pairing (2i, 2i + 1) that the `llama` architecture of GGUF means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf.quants import dequantize, quantize

from gguf_metadata import Hyperparameters
from llama import LlamaShape

# Hugging Face module -> GGUF tensor, inside a layer.
LAYER_TENSORS = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


@dataclass(frozen=True)
class TextMetadata:
    """What the tokenizer part of the file says: byte-level BPE tokens in id order, merges, specials, template."""

    tokens: list[str]
    merges: list[str]
    special_ids: list[int]
    end_of_turn: int
    padding: int
    chat_template: str


def to_interleaved_pairs(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head from the order by halves (Hugging Face) to pairs (GGUF's llama); weights or biases."""
    return weight.reshape(heads, 2, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def gguf_tensors(state: Mapping[str, np.ndarray], shape: LlamaShape) -> dict[str, np.ndarray]:
    """GGUF tensor names and float32 values."""
    tensors = {
        "token_embd.weight": state["model.embed_tokens.weight"],
        "output_norm.weight": state["model.norm.weight"],
    }
    for layer in range(shape.layers):
        for source, target in LAYER_TENSORS.items():
            value = state[f"model.layers.{layer}.{source}.weight"]
            if target in ("attn_q", "attn_k"):
                value = to_interleaved_pairs(value, shape.heads if target == "attn_q" else shape.kv_heads)
            tensors[f"blk.{layer}.{target}.weight"] = value
    return tensors


def tensor_type(name: str, value: np.ndarray, ternary: bool) -> gguf.GGMLQuantizationType:
    """The stored type of a tensor."""
    if value.ndim == 1:
        return gguf.GGMLQuantizationType.F32
    if name == "token_embd.weight":
        return gguf.GGMLQuantizationType.F16
    return gguf.GGMLQuantizationType.TQ2_0 if ternary else gguf.GGMLQuantizationType.F32


def write_gguf(
    path: Path, state: Mapping[str, np.ndarray], shape: LlamaShape, text: TextMetadata, name: str, ternary: bool
) -> None:
    """Writes the file; a ternary tensor that TQ2_0 cannot hold exactly is an error."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name(name)
    writer.add_license("Apache-2.0 WITH LLVM-exception")
    file_type = gguf.LlamaFileType.MOSTLY_TQ2_0 if ternary else gguf.LlamaFileType.ALL_F32
    writer.add_file_type(file_type)
    Hyperparameters(
        shape.context, shape.hidden, shape.ffn, shape.layers, shape.heads, shape.kv_heads, shape.norm_epsilon, shape.vocab
    ).write(writer)  # fmt: skip
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(text.tokens)
    special = set(text.special_ids)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if index in special else normal for index in range(len(text.tokens))])
    writer.add_token_merges(text.merges)
    writer.add_eos_token_id(text.end_of_turn)
    writer.add_pad_token_id(text.padding)
    writer.add_add_bos_token(False)
    writer.add_chat_template(text.chat_template)
    if ternary:
        writer.add_string("tern.activation_quantization", "int8-per-token")
    for tensor, value in gguf_tensors(state, shape).items():
        kind = tensor_type(tensor, value, ternary)
        if kind == gguf.GGMLQuantizationType.F32:
            writer.add_tensor(tensor, value.astype(np.float32))
        elif kind == gguf.GGMLQuantizationType.F16:
            writer.add_tensor(tensor, value.astype(np.float16))
        else:
            packed = quantize(value, kind)
            if not np.array_equal(dequantize(packed, kind), value):
                raise ValueError(
                    f"{tensor}: the values are not ternary with a float16 scale, {kind.name} would change them"
                )
            writer.add_tensor(tensor, packed, raw_shape=packed.shape, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def from_interleaved_pairs(weight: np.ndarray, heads: int) -> np.ndarray:
    """The inverse of to_interleaved_pairs."""
    return weight.reshape(heads, -1, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


@dataclass(frozen=True)
class Checkpoint:
    """A file read back: Hugging Face parameter names and float32 values."""

    state: dict[str, np.ndarray]
    shape: LlamaShape
    text: TextMetadata
    int8_activations: bool


def read_gguf(path: Path) -> Checkpoint:
    """Reads a file that write_gguf wrote."""
    reader = gguf.GGUFReader(str(path))

    def field(key: str) -> Any:
        entry = reader.get_field(key)
        if entry is None:
            raise ValueError(f"{path}: the key '{key}' is missing; was the file written by train.py?")
        return entry.contents()

    shape = LlamaShape(
        vocab=field("llama.vocab_size"), hidden=field("llama.embedding_length"), ffn=field("llama.feed_forward_length"),
        layers=field("llama.block_count"), heads=field("llama.attention.head_count"),
        kv_heads=field("llama.attention.head_count_kv"), context=field("llama.context_length"),
        rope_theta=field("llama.rope.freq_base"), norm_epsilon=field("llama.attention.layer_norm_rms_epsilon"),
    )  # fmt: skip
    tensors = {}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type)
        tensors[tensor.name] = values.reshape(tuple(reversed(tensor.shape.tolist()))).astype(np.float32)
    state = {
        "model.embed_tokens.weight": tensors["token_embd.weight"],
        "model.norm.weight": tensors["output_norm.weight"],
    }
    for layer in range(shape.layers):
        for target, source in LAYER_TENSORS.items():
            value = tensors[f"blk.{layer}.{source}.weight"]
            if source in ("attn_q", "attn_k"):
                value = from_interleaved_pairs(value, shape.heads if source == "attn_q" else shape.kv_heads)
            state[f"model.layers.{layer}.{target}.weight"] = value
    special = [index for index, kind in enumerate(field("tokenizer.ggml.token_type")) if kind == gguf.TokenType.CONTROL]
    text = TextMetadata(
        field("tokenizer.ggml.tokens"), field("tokenizer.ggml.merges"), special, field("tokenizer.ggml.eos_token_id"),
        field("tokenizer.ggml.padding_token_id"), field("tokenizer.chat_template"),
    )  # fmt: skip
    int8 = reader.get_field("tern.activation_quantization")
    return Checkpoint(state, shape, text, int8 is not None and int8.contents() == "int8-per-token")
