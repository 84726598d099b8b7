"""Model families of `transformers` as llama.cpp's converter writes them to GGUF.

A `Family` names the classes, gives every setting that tells it from Llama a value that changes the
logits, and says what the converter does to its metadata and tensors.
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class Family:
    arch: MODEL_ARCH
    classes: str  # NAMEConfig and NAMEForCausalLM
    settings: dict[str, Any] = field(default_factory=dict)  # of the configuration, beside the sizes
    metadata: Metadata = no_metadata
    convert: Convert = keep  # a tensor's values in GGUF's order, by its name in GGUF
    adjacent_pairs: bool = False  # query and key rows are permuted for pairs (2i, 2i + 1)
    config_name: str = ""  # where it is not NAMEConfig
    own_head_size: bool = False  # heads need not share the hidden size
    norms_around_zero: bool = False  # the model adds 1 to the weights of its norms

    @property
    def name(self) -> str:
        return gguf.MODEL_ARCH_NAMES[self.arch]

    @property
    def config_class(self) -> Any:
        return getattr(transformers, self.config_name or self.classes + "Config")

    @property
    def model_class(self) -> Any:
        return getattr(transformers, self.classes + "ForCausalLM")


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


FAMILIES = {
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
    "qwen3": Family(MODEL_ARCH.QWEN3, "Qwen3", own_head_size=True),
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
