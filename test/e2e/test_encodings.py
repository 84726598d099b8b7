"""Block formats against the `gguf` package, bit for bit, through the encoding_probe program."""

import subprocess

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from programs import BIN

FORMATS = {
    "f32": GGMLQuantizationType.F32,
    "f16": GGMLQuantizationType.F16,
    "bf16": GGMLQuantizationType.BF16,
    "q8_0": GGMLQuantizationType.Q8_0,
    "q4_0": GGMLQuantizationType.Q4_0,
    "tq2_0": GGMLQuantizationType.TQ2_0,
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


@pytest.mark.parametrize("name", ["q8_0", "q4_0", "tq2_0"])
def test_decoding_random_bits_matches_gguf(name: str) -> None:
    """Any code and any finite scale, code 3 of tq2_0 and -128 of q8_0 included."""
    block, at = {"q8_0": (34, 0), "q4_0": (18, 0), "tq2_0": (66, 64)}[name]
    random = np.random.default_rng(3)
    data = random.integers(0, 256, (500, block), dtype=np.uint8)
    data[:, at + 1] &= 0x7B  # keeps the half's exponent below that of infinity
    expected = dequantize(data, FORMATS[name])
    assert probe("decode", name, data.tobytes()) == expected.astype(np.float32).tobytes()
