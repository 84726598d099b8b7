"""Model families of `transformers` as llama.cpp's converter writes them to GGUF.

A `Family` names the classes, gives every setting that tells it from Llama a value that changes the
logits, and says what the converter does to its metadata and tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gguf
import numpy as np
import transformers
from gguf import MODEL_ARCH, GGUFWriter

Metadata = Callable[[GGUFWriter, Any], None]
Convert = Callable[[str, np.ndarray, Any], np.ndarray]


def keep(name: str, values: np.ndarray, config: Any) -> np.ndarray:
    return values


def no_metadata(writer: GGUFWriter, config: Any) -> None:
    pass


def no_tensors(config: Any) -> dict[str, np.ndarray]:
    return {}


@dataclass(frozen=True)
class Family:
    arch: MODEL_ARCH
    classes: str  # NAMEConfig and NAMEForCausalLM
    settings: dict[str, Any] = field(default_factory=dict)  # of the configuration, beside the sizes
    metadata: Metadata = no_metadata
    convert: Convert = keep  # a tensor's values in GGUF's order, by its name in GGUF
    adjacent_pairs: bool = False  # query and key rows are permuted for pairs (2i, 2i + 1)
    config_name: str = ""  # where it is not NAMEConfig
    model_name: str = ""  # where it is not NAMEForCausalLM
    aliases: dict[str, str] = field(default_factory=dict)  # parts of parameter names as the gguf package has them
    own_head_size: bool = False  # heads need not share the hidden size
    norms_around_zero: bool = False  # the model adds 1 to the weights of its norms
    layer_norms: bool = False  # instead of RMS norms
    renamed: dict[str, str] = field(default_factory=dict)  # sizes that the configuration calls otherwise
    tensors: Callable[[Any], dict[str, np.ndarray]] = no_tensors  # beside the parameters
    written_as: str = ""  # general.architecture, where the gguf package does not know it

    @property
    def name(self) -> str:
        return self.written_as or gguf.MODEL_ARCH_NAMES[self.arch]

    @property
    def config_class(self) -> Any:
        return getattr(transformers, self.config_name or self.classes + "Config")

    @property
    def model_class(self) -> Any:
        return getattr(transformers, self.model_name or self.classes + "ForCausalLM")


def granite(writer: GGUFWriter, config: Any) -> None:
    writer.add_attention_scale(config.attention_multiplier)
    writer.add_embedding_scale(config.embedding_multiplier)
    writer.add_residual_scale(config.residual_multiplier)
    writer.add_logit_scale(config.logits_scaling)


def sliding_window(writer: GGUFWriter, config: Any) -> None:
    writer.add_sliding_window(config.sliding_window)


def gemma2(writer: GGUFWriter, config: Any) -> None:
    sliding_window(writer, config)
    writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
    writer.add_final_logit_softcapping(config.final_logit_softcapping)


def gemma3(writer: GGUFWriter, config: Any) -> None:
    sliding_window(writer, config)
    writer.add_final_logit_softcapping(config.final_logit_softcapping)


def with_one_added_to_norms(name: str, values: np.ndarray, config: Any) -> np.ndarray:
    return values + np.float32(1) if name.endswith("norm.weight") else values


def transposed(name: str, values: np.ndarray, config: Any) -> np.ndarray:
    """GPT-2 holds its matrices the other way round."""
    parts = ("attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight")
    return values.T if name.endswith(parts) else values


def split_bloom_heads(name: str, values: np.ndarray, config: Any) -> np.ndarray:
    """From (query, key, value) of each head to all queries, all keys, all values."""
    if "attn_qkv" not in name:
        return values
    heads = values.reshape(config.n_head, 3, -1, *values.shape[1:])
    return heads.swapaxes(0, 1).reshape(values.shape)


def split_falcon_groups(name: str, values: np.ndarray, config: Any) -> np.ndarray:
    """From groups of queries with a key and a value to all queries, all keys, all values."""
    if "attn_qkv" not in name:
        return values
    kv_heads = config.num_kv_heads if config.new_decoder_architecture else 1
    size = config.hidden_size // config.num_attention_heads
    groups = values.reshape(kv_heads, -1, size, values.shape[1])
    parts = (groups[:, :-2], groups[:, -2], groups[:, -1])
    return np.concatenate([part.reshape(-1, values.shape[1]) for part in parts])


def rotary_dimensions(writer: GGUFWriter, config: Any) -> None:
    head_size = config.hidden_size // config.num_attention_heads
    writer.add_rope_dimension_count(int(head_size * config.rope_parameters["partial_rotary_factor"]))


def gptj(writer: GGUFWriter, config: Any) -> None:
    writer.add_rope_dimension_count(config.rotary_dim)


def phi3(writer: GGUFWriter, config: Any) -> None:
    rotary_dimensions(writer, config)
    original = config.rope_parameters.get("original_max_position_embeddings", config.max_position_embeddings)
    writer.add_rope_scaling_orig_ctx_len(original)
    writer.add_sliding_window(config.sliding_window or 0)
    scale = config.max_position_embeddings / original
    if "long_factor" in config.rope_parameters:
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(original)) if scale > 1 else 1.0)


def long_rope_factors(config: Any) -> dict[str, np.ndarray]:
    if "long_factor" not in config.rope_parameters:
        return {}
    return {
        f"rope_factors_{length}.weight": np.array(config.rope_parameters[f"{length}_factor"], np.float32)
        for length in ("long", "short")
    }


def experts(writer: GGUFWriter, config: Any) -> None:
    writer.add_expert_count(getattr(config, "num_local_experts", None) or config.num_experts)
    writer.add_expert_used_count(config.num_experts_per_tok)
    if hasattr(config, "moe_intermediate_size"):
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    if hasattr(config, "shared_expert_intermediate_size"):
        writer.add_expert_shared_feed_forward_length(config.shared_expert_intermediate_size)


def gate_of_shared_expert_as_vector(name: str, values: np.ndarray, config: Any) -> np.ndarray:
    return values[0] if "ffn_gate_inp_shexp" in name else values


def hidden_activation(writer: GGUFWriter, config: Any) -> None:
    writer.add_string(f"{gguf.MODEL_ARCH_NAMES[MODEL_ARCH.BITNET]}.hidden_activation", config.hidden_act)


BITNET_NORMS = {"attn_sub_norm": "inner_attn_ln", "ffn_sub_norm": "ffn_layernorm"}
GPT_NAMES = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "max_position_embeddings": "n_positions",
    "intermediate_size": "n_inner",
    "norm_epsilon": "layer_norm_epsilon",
}
HALF_ROTATED = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
THREE_QUARTERS_ROTATED = HALF_ROTATED | {"partial_rotary_factor": 0.75}
LONG_ROPE = THREE_QUARTERS_ROTATED | {
    "rope_type": "longrope",
    "short_factor": [1.0, 1.1, 1.2, 1.4, 1.7, 2.1],
    "long_factor": [1.3, 1.9, 2.8, 4.1, 7.9, 16.0],
}

FAMILIES = {
    "bitnet": Family(
        MODEL_ARCH.BITNET, "BitNet", {"hidden_act": "relu2"}, aliases=BITNET_NORMS, metadata=hidden_activation
    ),
    "bitnet-silu": Family(MODEL_ARCH.BITNET, "BitNet", {"hidden_act": "silu"}, aliases=BITNET_NORMS),
    "bitnet-b1.58": Family(
        MODEL_ARCH.BITNET, "BitNet", {"hidden_act": "relu2"}, aliases=BITNET_NORMS, written_as="bitnet-b1.58"
    ),
    "bloom": Family(
        MODEL_ARCH.BLOOM,
        "Bloom",
        convert=split_bloom_heads,
        aliases={"transformer.": ""},
        layer_norms=True,
        renamed=GPT_NAMES | {"hidden_size": "hidden_size"},
    ),
    "falcon-7b": Family(
        MODEL_ARCH.FALCON,
        "Falcon",
        {"multi_query": True, "parallel_attn": True, "bias": False, "alibi": False},
        convert=split_falcon_groups,
        layer_norms=True,
        renamed={"norm_epsilon": "layer_norm_epsilon", "intermediate_size": "ffn_hidden_size"},
    ),
    "falcon-40b": Family(
        MODEL_ARCH.FALCON,
        "Falcon",
        {"new_decoder_architecture": True, "bias": False, "alibi": False},
        convert=split_falcon_groups,
        layer_norms=True,
        renamed={
            "norm_epsilon": "layer_norm_epsilon",
            "intermediate_size": "ffn_hidden_size",
            "num_key_value_heads": "num_kv_heads",
        },
    ),
    "gpt2": Family(
        MODEL_ARCH.GPT2, "GPT2", model_name="GPT2LMHeadModel", convert=transposed, layer_norms=True, renamed=GPT_NAMES
    ),
    "gptj": Family(MODEL_ARCH.GPTJ, "GPTJ", {"rotary_dim": 8}, metadata=gptj, layer_norms=True, renamed=GPT_NAMES),
    "phi2": Family(
        MODEL_ARCH.PHI2,
        "Phi",
        {"rope_parameters": HALF_ROTATED},
        metadata=rotary_dimensions,
        layer_norms=True,
    ),
    "phi3": Family(
        MODEL_ARCH.PHI3,
        "Phi3",
        {"rope_parameters": THREE_QUARTERS_ROTATED},
        metadata=phi3,
        tensors=long_rope_factors,
    ),
    "stablelm": Family(
        MODEL_ARCH.STABLELM,
        "StableLm",
        {"rope_parameters": HALF_ROTATED, "use_qkv_bias": True},
        metadata=rotary_dimensions,
        layer_norms=True,
    ),
    "gemma": Family(
        MODEL_ARCH.GEMMA, "Gemma", convert=with_one_added_to_norms, own_head_size=True, norms_around_zero=True
    ),
    "gemma2": Family(
        MODEL_ARCH.GEMMA2,
        "Gemma2",
        {
            "sliding_window": 24,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 1.5,
            "query_pre_attn_scalar": 24,
        },
        metadata=gemma2,
        convert=with_one_added_to_norms,
        own_head_size=True,
        norms_around_zero=True,
    ),
    "gemma3": Family(
        MODEL_ARCH.GEMMA3,
        "Gemma3",
        {
            "sliding_window": 24,
            "final_logit_softcapping": 1.5,
            "query_pre_attn_scalar": 24,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "rope_theta": 1000000.0, "factor": 8.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
        },
        metadata=gemma3,
        config_name="Gemma3TextConfig",
        convert=with_one_added_to_norms,
        own_head_size=True,
        norms_around_zero=True,
    ),
    "llama": Family(MODEL_ARCH.LLAMA, "Llama", adjacent_pairs=True, own_head_size=True),
    "mistral": Family(
        MODEL_ARCH.LLAMA,
        "Mistral",
        {"sliding_window": 24},
        metadata=sliding_window,
        adjacent_pairs=True,
        own_head_size=True,
    ),
    "qwen2": Family(MODEL_ARCH.QWEN2, "Qwen2"),
    "qwen2moe": Family(
        MODEL_ARCH.QWEN2MOE,
        "Qwen2Moe",
        {
            "num_experts": 12,
            "num_experts_per_tok": 4,
            "moe_intermediate_size": 64,
            "shared_expert_intermediate_size": 100,
        },
        metadata=experts,
        convert=gate_of_shared_expert_as_vector,
    ),
    "qwen3": Family(MODEL_ARCH.QWEN3, "Qwen3", own_head_size=True),
    "qwen3moe": Family(
        MODEL_ARCH.QWEN3MOE,
        "Qwen3Moe",
        {"num_local_experts": 40, "num_experts_per_tok": 8, "moe_intermediate_size": 32, "norm_topk_prob": True},
        metadata=experts,
        own_head_size=True,
    ),
    "mixtral": Family(
        MODEL_ARCH.LLAMA,
        "Mixtral",
        {"num_local_experts": 8, "num_experts_per_tok": 2},
        metadata=experts,
        adjacent_pairs=True,
        own_head_size=True,
    ),
    "smollm3": Family(MODEL_ARCH.SMOLLM3, "SmolLM3", adjacent_pairs=True),
    "olmo2": Family(MODEL_ARCH.OLMO2, "Olmo2"),
    "olmo3": Family(
        MODEL_ARCH.OLMO2,
        "Olmo3",
        {
            "sliding_window": 24,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "rope_theta": 500000.0, "factor": 8.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 500000.0},
            },
        },
        metadata=sliding_window,
    ),
    "granite": Family(
        MODEL_ARCH.GRANITE,
        "Granite",
        {
            "attention_multiplier": 0.3,
            "embedding_multiplier": 3.0,
            "residual_multiplier": 0.4,
            "logits_scaling": 7.0,
            "attention_bias": True,
            "mlp_bias": True,
        },
        metadata=granite,
        adjacent_pairs=True,
    ),
}
