"""Metadata that every decoder-only model in GGUF has, under the keys that the gguf package knows."""

from __future__ import annotations

from dataclasses import dataclass

import gguf


@dataclass(frozen=True)
class Hyperparameters:
    context: int
    hidden: int
    feed_forward: int
    layers: int
    heads: int
    kv_heads: int
    norm_epsilon: float
    vocabulary: int
    layer_norms: bool = False  # instead of RMS norms

    def write(self, writer: gguf.GGUFWriter) -> None:
        writer.add_context_length(self.context)
        writer.add_embedding_length(self.hidden)
        writer.add_feed_forward_length(self.feed_forward)
        writer.add_block_count(self.layers)
        writer.add_head_count(self.heads)
        writer.add_head_count_kv(self.kv_heads)
        (writer.add_layer_norm_eps if self.layer_norms else writer.add_layer_norm_rms_eps)(self.norm_epsilon)
        writer.add_vocab_size(self.vocabulary)
