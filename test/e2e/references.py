"""Logits of the independent implementations, and how far two sets of logits are apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from models import BuiltModel


def random_tokens(count: int, vocabulary: int, seed: int = 7) -> list[int]:
    return np.random.default_rng(seed).integers(0, vocabulary, count).tolist()


def torch_logits(model: BuiltModel, tokens: Sequence[int]) -> np.ndarray:
    """float32 [tokens, vocabulary]"""
    with torch.no_grad():
        return model.torch_model(torch.tensor([tokens])).logits[0].float().numpy()


def llama_cpp_logits(path: Path, tokens: Sequence[int]) -> np.ndarray:
    """float32 [tokens, vocabulary]"""
    from llama_cpp import Llama

    model = Llama(str(path), n_ctx=max(256, len(tokens)), n_batch=512, n_threads=2, logits_all=True, verbose=False)
    try:
        model.eval(tokens)
        return np.array(model.scores[: len(tokens)], np.float32)
    finally:
        model.close()


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference over the largest logit."""
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def lowest_cosine(actual: np.ndarray, expected: np.ndarray) -> float:
    """Of the positions' logit vectors."""
    a, b = actual.astype(np.float64), expected.astype(np.float64)
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())
