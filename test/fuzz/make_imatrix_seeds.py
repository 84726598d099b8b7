"""Writes the seed corpus of the importance matrix fuzzer: both file forms, an entry of several matrices, odd counts.

python test/fuzz/make_imatrix_seeds.py test/fuzz/corpus/imatrix
"""

import struct
import sys
from pathlib import Path

import numpy as np
from gguf import GGUFWriter

Entries = dict[str, tuple[np.ndarray, np.ndarray]]


def gguf_form(path: Path, entries: Entries) -> None:
    writer = GGUFWriter(path, "")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["text"])
    writer.add_uint32("imatrix.chunk_count", 1)
    for name, (sums, counts) in entries.items():
        writer.add_tensor(f"{name}.in_sum2", sums)
        writer.add_tensor(f"{name}.counts", counts)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def binary_form(path: Path, entries: Entries) -> None:
    data = struct.pack("<i", len(entries))
    for name, (sums, counts) in entries.items():
        data += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", int(counts.flat[0]), sums.size)
        data += sums.astype("<f4").tobytes()
    path.write_bytes(data + struct.pack("<ii", 1, 4) + b"text")


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    sums = np.linspace(0, 4, 8, dtype=np.float32)
    entries: Entries = {
        "blk.0.attn_qkv.weight": (sums.reshape(1, -1), np.full((1, 1), 3, np.float32)),
        "blk.0.ffn_up.weight": (sums.reshape(1, -1), np.zeros((1, 1), np.float32)),
    }
    binary_form(folder / "binary.dat", entries)
    gguf_form(folder / "two.gguf", entries)
    experts = {"blk.0.ffn_up_exps.weight": (sums.reshape(2, 4), np.array([[1], [0]], np.float32))}
    gguf_form(folder / "experts.gguf", experts)


if __name__ == "__main__":
    main()
