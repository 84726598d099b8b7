"""Small randomly initialised models from `transformers`, written to GGUF with the `gguf` package.

A `ModelSpec` says which features a model has and how its weights are stored. `build` writes the
file and gives back the PyTorch model holding exactly the values a reader of the file decodes, so
that logits can be compared on the same weights. Unless told otherwise a file carries a byte-level BPE
tokenizer, because llama.cpp refuses files without one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from families import FAMILIES, Family, keep
from ggml import ggml_dequantize, ggml_quantize
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize
from reference_tokenizers import byte_level
from transformers import PreTrainedModel

from gguf_llama import from_interleaved_pairs, to_interleaved_pairs
from gguf_metadata import Hyperparameters

LLAMA3_SCALING = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
NORM_EPSILON = 1e-5
LINEAR_SCALING = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True)
class ModelSpec:
    """A model: architecture, sizes, features, storage type of its matrices."""

    name: str
    family: str = "llama"  # of families.FAMILIES
    hidden: int = 90
    feed_forward: int = 134
    layers: int = 2
    heads: int = 6
    kv_heads: int = 2
    head_size: int = 16  # where the family lets it differ from hidden / heads
    vocabulary: int = 503
    context: int = 1024
    tied: bool = False
    rope: tuple[tuple[str, Any], ...] = ()  # items of rope_parameters; empty: plain
    settings: tuple[tuple[str, Any], ...] = field(default=(), hash=False)  # of the configuration, beside the family's
    matrix_type: Type = Type.F32
    other_types: tuple[tuple[str, Type], ...] = ()  # by a part of the tensor's name, first match
    ternary: bool = False  # matrices hold scale * {-1, 0, 1}
    codes_of_two: bool = False  # TQ2_0 codes 3 (+2) in every matrix of that type
    outliers: bool = False  # see amplify_channels
    gain_spread: float = 0.0  # of the logarithm of the norms' gains: channels of unequal magnitude
    embedding_scale: float = 1.0  # above 1: the residual stream dominates what layers add, as in trained models
    tokenizer: bool = True
    add_bos: bool = False
    chat_template: str | None = CHATML
    split_tensors: int = 0  # tensors per file of a split model; 0: one file
    seed: int = 1

    @property
    def traits(self) -> Family:
        return FAMILIES[self.family]

    def type_of(self, tensor: str, dimensions: int) -> Type:
        if dimensions == 1:
            return Type.F32
        for part, kind in self.other_types:
            if part in tensor:
                return kind
        return self.matrix_type


@dataclass
class BuiltModel:
    """A GGUF file and the PyTorch model of the same values."""

    spec: ModelSpec
    path: Path
    torch_model: PreTrainedModel = field(repr=False)


def rope_parameters(spec: ModelSpec) -> dict[str, Any]:
    """Those of the layers that do not slide."""
    own = (spec.traits.settings | dict(spec.settings)).get("rope_parameters")
    if own is not None:
        return own.get("full_attention", own)
    return dict(spec.rope) or {"rope_type": "default", "rope_theta": 10000.0}


def create_torch_model(spec: ModelSpec) -> PreTrainedModel:
    """Float32, eager attention; weights large enough that every part matters for the logits."""
    sizes: dict[str, Any] = {
        "vocab_size": spec.vocabulary,
        "hidden_size": spec.hidden,
        "intermediate_size": spec.feed_forward,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.heads,
        "num_key_value_heads": spec.kv_heads,
        "max_position_embeddings": spec.context,
        "tie_word_embeddings": spec.tied,
        "rope_parameters": rope_parameters(spec),
        "attn_implementation": "eager",
    }
    sizes["norm_epsilon"] = NORM_EPSILON
    sizes |= {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    if spec.traits.own_head_size:
        sizes["head_dim"] = spec.head_size
    renamed = {"norm_epsilon": "layer_norm_eps" if spec.traits.layer_norms else "rms_norm_eps"} | spec.traits.renamed
    sizes = {renamed.get(name, name): value for name, value in sizes.items()}
    sizes.update(spec.traits.settings)
    sizes.update(spec.settings)
    torch.manual_seed(spec.seed)
    model: PreTrainedModel = spec.traits.model_class(spec.traits.config_class(**sizes)).float().eval()
    embeddings = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, torch.nn.Embedding)}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(random_values(spec, name, parameter, name in embeddings))
    if spec.outliers:
        amplify_channels(model)
    return model


def random_values(spec: ModelSpec, name: str, like: torch.Tensor, embedding: bool) -> torch.Tensor:
    """Matrices keep the variance of what passes through them; norms vary around 1."""
    if name.endswith("bias"):
        return torch.randn_like(like) * 0.5
    if like.ndim == 1:
        if spec.gain_spread:
            return torch.exp(spec.gain_spread * torch.randn_like(like))
        return (0 if spec.traits.norms_around_zero else 1) + 0.3 * torch.randn_like(like)
    columns = like.shape[1]
    if embedding:
        return torch.randn_like(like) * spec.embedding_scale
    if spec.ternary:
        return torch.randint(-1, 2, like.shape) * float(np.float16(1.2 / math.sqrt(columns)))
    return torch.randn_like(like) / math.sqrt(columns)


OUTLIER_CHANNELS = [3, 7, 11, 19]
OUTLIER_FACTOR = 300.0


def amplify_channels(model: PreTrainedModel) -> None:
    """Four channels of the normalised residual stream become outliers, as trained models have them.

    The gains before attention and feed-forward are multiplied and the columns of the matrices that
    read them divided by the same factor: as a function of real numbers the model is unchanged.
    """
    with torch.no_grad():
        for layer in model.model.layers:
            for norm, readers in (
                (layer.input_layernorm, [layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj]),
                (layer.post_attention_layernorm, [layer.mlp.gate_proj, layer.mlp.up_proj]),
            ):
                norm.weight[OUTLIER_CHANNELS] *= OUTLIER_FACTOR
                for reader in readers:
                    reader.weight[:, OUTLIER_CHANNELS] /= OUTLIER_FACTOR


def llama3_rope_factors(parameters: dict[str, Any], head_size: int) -> np.ndarray:
    """What llama.cpp's converter writes as `rope_freqs.weight`: divisors of the frequencies."""
    factor, low, high = (parameters[key] for key in ("factor", "low_freq_factor", "high_freq_factor"))
    original = parameters["original_max_position_embeddings"]
    factors = []
    for index in range(0, head_size, 2):
        wavelength = 2 * math.pi * parameters["rope_theta"] ** (index / head_size)
        if wavelength < original / high:
            factors.append(1.0)
        elif wavelength > original / low:
            factors.append(factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(factors, np.float32)


# What the gguf package cannot encode.
GGML_ENCODED = (Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K, Type.Q8_K, Type.IQ4_NL)


def decode_tensor(data: np.ndarray, kind: Type, shape: tuple[int, ...]) -> np.ndarray:
    if kind == Type.Q8_K:  # nor decode
        return ggml_dequantize(data.tobytes(), kind, math.prod(shape)).reshape(shape)
    return np.asarray(dequantize(data, kind), np.float32).reshape(shape)


def encode_tensor(values: np.ndarray, kind: Type, codes_of_two: bool) -> np.ndarray:
    """Bytes (or floats) as GGUFWriter wants them."""
    if kind == Type.F32:
        return values
    if kind == Type.F16:
        return values.astype(np.float16)
    if kind in GGML_ENCODED:
        return np.frombuffer(ggml_quantize(values, kind), np.uint8).reshape(*values.shape[:-1], -1)
    data = quantize(values, kind)
    if kind == Type.TQ2_0 and codes_of_two:
        data = data.copy()
        data[..., 5] |= 3  # the first of four codes in byte 5 of each row's first block
        data[..., 40] |= 0xC0
    return data


@functools.cache
def tokenizer_metadata(vocabulary: int) -> dict[str, Any]:
    """A GPT-2 style tokenizer of exactly that many tokens."""
    special = len(byte_level("gpt-2", 300).spec["tokens"]) - 300
    spec = byte_level("gpt-2", vocabulary - special).spec
    if len(spec["tokens"]) != vocabulary:
        raise ValueError(f"the tokenizer has {len(spec['tokens'])} tokens, expected {vocabulary}")
    return spec


def write_metadata(writer: gguf.GGUFWriter, spec: ModelSpec, model: PreTrainedModel) -> None:
    writer.add_name(spec.name)
    Hyperparameters(
        spec.context,
        spec.hidden,
        spec.feed_forward,
        spec.layers,
        spec.heads,
        spec.kv_heads,
        NORM_EPSILON,
        spec.vocabulary,
        spec.traits.layer_norms,
    ).write(writer)
    if spec.traits.own_head_size:
        writer.add_key_length(spec.head_size)
        writer.add_value_length(spec.head_size)
        writer.add_rope_dimension_count(spec.head_size)
    spec.traits.metadata(writer, model.config)
    parameters = rope_parameters(spec)
    writer.add_rope_freq_base(parameters["rope_theta"])
    if parameters["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(parameters["factor"])
    if spec.tokenizer:
        for key, value in {**tokenizer_metadata(spec.vocabulary), "add_bos_token": spec.add_bos}.items():
            writer.add_key_value(f"tokenizer.ggml.{key}", value, *value_type(value))
    if spec.chat_template is not None:
        writer.add_chat_template(spec.chat_template)


def value_type(value: Any) -> tuple[gguf.GGUFValueType, ...]:
    """Type, and element type of an array, for GGUFWriter.add_key_value."""
    if isinstance(value, list):
        return (gguf.GGUFValueType.ARRAY,)
    if isinstance(value, bool):
        return (gguf.GGUFValueType.BOOL,)
    return (gguf.GGUFValueType.UINT32 if isinstance(value, int) else gguf.GGUFValueType.STRING,)


def stacked_heads(parameters: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
    """Norms with a module for each head become one tensor, as the converter stacks them."""
    heads: dict[str, list[torch.Tensor]] = {}
    for name, parameter in parameters:
        if ".norms." in name:
            layer, _, rest = name.partition(".norms.")
            heads.setdefault(f"{layer}.{rest.partition('.')[2]}", []).append(parameter)
        else:
            yield name, parameter
    for name, parts in heads.items():
        yield name, torch.stack(parts)


def split_experts(parameters: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
    """The experts' gate and up, which PyTorch has in one tensor, as two views of it."""
    for name, parameter in parameters:
        prefix, found, rest = name.partition("mlp.experts.gate_up_proj")
        if found and not rest:
            half = parameter.shape[1] // 2
            yield f"{prefix}mlp.experts.gate_proj", parameter[:, :half]
            yield f"{prefix}mlp.experts.up_proj", parameter[:, half:]
        else:
            yield name, parameter


def gguf_tensors(
    spec: ModelSpec, model: PreTrainedModel
) -> Iterator[tuple[str, torch.Tensor, str, np.ndarray, Type, int]]:
    """PyTorch name and parameter, GGUF name, float values in GGUF's order, storage type, heads if rotary (else 0)."""
    names = gguf.get_tensor_name_map(spec.traits.arch, spec.layers)
    for name, parameter in stacked_heads(split_experts(model.named_parameters())):
        alias = name
        for part, other in spec.traits.aliases.items():
            alias = alias.replace(part, other)
        if alias.endswith(("experts.gate_proj", "experts.up_proj", "experts.down_proj")):
            alias += ".weight"
        target = names.get_name(alias, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise ValueError(f"the gguf package has no name for {name}")
        values = parameter.detach().numpy()
        heads = 0
        if spec.traits.adjacent_pairs and ("q_proj" in name or "k_proj" in name):
            heads = spec.heads if "q_proj" in name else spec.kv_heads
            values = to_interleaved_pairs(values, heads)
        values = spec.traits.convert(target, values, model.config)
        yield name, parameter, target, np.ascontiguousarray(values), spec.type_of(target, values.ndim), heads


def build(spec: ModelSpec, folder: Path) -> BuiltModel:
    """Writes folder/NAME.gguf (or its parts; `path` is then the first)."""
    model = create_torch_model(spec)
    path = folder / f"{spec.name}.gguf"
    writer = gguf.GGUFWriter(path, spec.traits.name, split_max_tensors=spec.split_tensors)
    write_metadata(writer, spec, model)
    for _, parameter, target, values, kind, heads in gguf_tensors(spec, model):
        data = encode_tensor(values, kind, spec.codes_of_two)
        if kind in (Type.F32, Type.F16):
            writer.add_tensor(target, data)
        else:
            writer.add_tensor(target, data, raw_shape=data.shape, raw_dtype=kind)
        if kind == Type.F32:
            continue  # PyTorch holds these values, in its own order
        if spec.traits.convert is not keep:
            raise ValueError(f"{spec.name}: tensors that the converter changes are stored as F32 only")
        decoded = decode_tensor(data, kind, values.shape)
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(from_interleaved_pairs(decoded, heads) if heads else decoded))
    for target, values in spec.traits.tensors(model.config).items():
        writer.add_tensor(target, values)
    if rope_parameters(spec)["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_rope_factors(rope_parameters(spec), spec.head_size))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    if spec.split_tensors:
        path = min(folder.glob(f"{spec.name}-00001-of-*.gguf"))
    return BuiltModel(spec, path, model)
