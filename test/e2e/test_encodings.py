"""Block formats against the `gguf` package, bit for bit, through the encoding_probe program."""

import subprocess

import numpy as np
import pytest
from ggml import dequantize_q2_0, ggml_dequantize, ggml_quantize, quantize_q2_0
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from programs import BIN

FORMATS = {
    "f32": GGMLQuantizationType.F32,
    "f16": GGMLQuantizationType.F16,
    "bf16": GGMLQuantizationType.BF16,
    "q8_0": GGMLQuantizationType.Q8_0,
    "q4_0": GGMLQuantizationType.Q4_0,
    "q4_1": GGMLQuantizationType.Q4_1,
    "q5_0": GGMLQuantizationType.Q5_0,
    "q5_1": GGMLQuantizationType.Q5_1,
    "mxfp4": GGMLQuantizationType.MXFP4,
    "tq1_0": GGMLQuantizationType.TQ1_0,
    "tq2_0": GGMLQuantizationType.TQ2_0,
}
# Block bytes, and where in a block the high bytes of its f16 scales lie.
RANDOM_BITS = {
    "q8_0": (34, [1]),
    "q4_0": (18, [1]),
    "q4_1": (20, [1, 3]),
    "q5_0": (22, [1]),
    "q5_1": (24, [1, 3]),
    "q2_k": (84, [81, 83]),
    "q3_k": (110, [109]),
    "q4_k": (144, [1, 3]),
    "q5_k": (176, [1, 3]),
    "q6_k": (210, [209]),
    "iq4_nl": (18, [1]),
    "mxfp4": (17, []),
    "tq1_0": (54, [53]),
    "tq2_0": (66, [65]),
}


def probe(action: str, name: str, data: bytes) -> bytes:
    command = [BIN / "encoding_probe", action, name]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def awkward_values(seed: int) -> np.ndarray:
    """Rows of 256: Gaussians of many magnitudes, ties, zeros, subnormals, one outlier."""
    random = np.random.default_rng(seed)
    rows = [random.standard_normal(256) * 10.0**exponent for exponent in range(-12, 5) for _ in range(8)]
    rows += [np.zeros(256), np.full(256, -1.5), np.linspace(-8, 8, 256), np.linspace(-127.5, 127.5, 256)]
    rows += [random.integers(-254, 255, 256) / 2, random.integers(-16, 17, 256) / 2]
    outlier = random.standard_normal(256)
    outlier[77] = 3000
    rows.append(outlier)
    return np.stack(rows).astype(np.float32)


@pytest.mark.parametrize("name", FORMATS)
def test_encoding_matches_gguf(name: str) -> None:
    values = awkward_values(1)
    expected = quantize(values, FORMATS[name])
    assert probe("encode", name, values.tobytes()) == expected.tobytes()


@pytest.mark.parametrize("name", FORMATS)
def test_decoding_matches_gguf(name: str) -> None:
    data = quantize(awkward_values(2), FORMATS[name])
    expected = dequantize(data, FORMATS[name]).astype(np.float32)
    assert probe("decode", name, data.tobytes()) == expected.tobytes()


def random_blocks(name: str) -> np.ndarray:
    """Any code, any inner scale, and any finite outer scale."""
    block, high_bytes = RANDOM_BITS[name]
    data = np.random.default_rng(3).integers(0, 256, (500, block), dtype=np.uint8)
    data[:, high_bytes] &= 0x7B  # keeps the half's exponent below that of infinity
    return data


@pytest.mark.parametrize("name", RANDOM_BITS)
def test_decoding_random_bits_matches_gguf(name: str) -> None:
    """Code 3 of tq2_0, -128 of q8_0 and base-3 bytes that no encoder writes included."""
    data = random_blocks(name)
    expected = dequantize(data, GGMLQuantizationType[name.upper()])
    assert probe("decode", name, data.tobytes()) == expected.astype(np.float32).tobytes()


@pytest.mark.parametrize("name", ["q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q8_k", "iq4_nl"])
def test_decoding_what_ggml_encodes_matches_ggml(name: str) -> None:
    values = awkward_values(4)
    data = ggml_quantize(values, GGMLQuantizationType[name.upper()])
    expected = ggml_dequantize(data, GGMLQuantizationType[name.upper()], values.size)
    assert probe("decode", name, data) == expected.tobytes()


def test_q2_0_matches_ggml() -> None:
    """The gguf package does not know the type; all four codes are decoded, encoding uses three."""
    values = awkward_values(5)
    assert probe("encode", "q2_0", values.tobytes()) == quantize_q2_0(values)
    data = np.random.default_rng(6).integers(0, 256, (500, 18), dtype=np.uint8)
    data[:, 1] &= 0x7B
    assert probe("decode", "q2_0", data.tobytes()) == dequantize_q2_0(data.tobytes()).tobytes()
