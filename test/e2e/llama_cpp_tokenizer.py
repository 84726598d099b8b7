"""Tokenizers as llama.cpp runs them, from a GGUF file that holds nothing else."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
from llama_cpp import Llama


def write_vocabulary(path: Path, spec: dict[str, Any]) -> None:
    """A GGUF file of the tokenizer metadata alone; `spec` leaves out `tokenizer.ggml.`."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model(spec["model"])
    for key, value in spec.items():
        name = f"tokenizer.ggml.{key}"
        if key.endswith("_token_id"):
            writer.add_uint32(name, value)
        elif isinstance(value, bool):
            writer.add_bool(name, value)
        elif key not in ("model", "chat_template"):
            (writer.add_array if isinstance(value, list) else writer.add_string)(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


class LlamaCppTokenizer:
    """Fails with ValueError if llama.cpp does not take the metadata."""

    def __init__(self, spec: dict[str, Any], folder: Path) -> None:
        path = folder / "vocabulary.gguf"
        write_vocabulary(path, spec)
        self._llama = Llama(str(path), vocab_only=True, verbose=False)
        self._vocab = llama_cpp.llama_model_get_vocab(self._llama.model)
        self._buffer = (ctypes.c_int32 * 65536)()

    def encode(self, text: str, add_special: bool = False, parse_special: bool = True) -> list[int]:
        data = text.encode()
        count = llama_cpp.llama_tokenize(
            self._vocab, data, len(data), self._buffer, len(self._buffer), add_special, parse_special
        )
        assert count >= 0
        return list(self._buffer[:count])

    def end_of_generation(self) -> list[int]:
        count = llama_cpp.llama_vocab_n_tokens(self._vocab)
        return [i for i in range(count) if llama_cpp.llama_vocab_is_eog(self._vocab, i)]
