"""Sampling as tern.h describes it, written a second time: which token a seed draws from a row of logits.

The order in which candidates are drawn from is part of it: token order, as selection by partitioning leaves it.
"""

from __future__ import annotations

import json
import math
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

MASK = (1 << 64) - 1
NEGLIGIBLE_EXPONENT = -30.0


class Pcg32:
    """PCG32, XSH-RR (O'Neill 2014), as pcg32_srandom(seed, 54) starts it."""

    def __init__(self, seed: int = 0) -> None:
        self.state = 0
        self.increment = 54 << 1 | 1
        self.next()
        self.state = (self.state + seed) & MASK
        self.next()

    def next(self) -> int:
        old = self.state
        self.state = (old * 6364136223846793005 + self.increment) & MASK
        mixed = ((old >> 18 ^ old) >> 27) & 0xFFFFFFFF
        rotation = old >> 59
        return (mixed >> rotation | mixed << (32 - rotation)) & 0xFFFFFFFF

    def uniform(self) -> float:
        high = self.next()
        return ((high << 32 | self.next()) >> 11) * 2.0**-53


@dataclass
class Sampler:
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    random: Pcg32 = field(init=False)

    def __post_init__(self) -> None:
        self.random = Pcg32(self.seed)

    def sample(self, logits: np.ndarray) -> int:
        """The token drawn from float32 `logits`; advances the random numbers."""
        largest = logits.max()
        if self.temperature == 0:
            return int(logits.argmax())
        candidates = []
        for token, logit in enumerate(logits):
            exponent = np.float32(logit - largest) / np.float32(self.temperature)
            if exponent >= NEGLIGIBLE_EXPONENT:
                candidates.append((-float(logit), token, float(np.float32(math.exp(exponent)))))
        candidates = keep_top_p(keep_top_k(candidates, self.top_k), float(np.float32(self.top_p)))
        candidates = [entry for entry in candidates if entry[2] >= float(np.float32(self.min_p))]
        left = self.random.uniform() * sum(weight for _, _, weight in candidates)
        for _, token, weight in candidates:
            left -= weight
            if left < 0:
                return token
        return candidates[-1][1]


def assert_drawn_tokens(
    tern: list[str], artifact: Path, folder: Path, *, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0
) -> None:
    """What `tern run` draws is what Sampler draws from the logits of the same program, until 60 tokens are seen."""
    prompt, likeliest, drawn, seed = [5, 6, 7], [], [], 0
    while len(drawn) < 60:  # an end token may come early
        sampler = Sampler(1.5, top_k, top_p, min_p, seed)
        command = [*tern, "run", str(artifact), "-n", "24", "--logprobs", "0", "--tokens", listed(prompt)]
        command += ["-t", "1.5", "--top-k", str(top_k), "--top-p", str(top_p), "--min-p", str(min_p)]
        command += ["--seed", str(seed)]
        lines = subprocess.run(command, check=True, capture_output=True).stdout.decode().splitlines()
        tokens = [line["token"] for line in map(json.loads, lines) if "token" in line]
        logits, ids = folder / "drawn.npy", listed([*prompt, *tokens[:-1]])
        subprocess.run([*tern, "logits", str(artifact), "--tokens", ids, "-o", str(logits)], check=True)
        rows = np.load(logits)[len(prompt) - 1 :]
        assert tokens == [sampler.sample(row) for row in rows], f"seed {seed}"
        drawn += tokens
        likeliest += [int(row.argmax()) for row in rows]
        seed += 12345678901234567
    assert drawn != likeliest, "nothing was drawn"


def listed(tokens: list[int]) -> str:
    return ",".join(map(str, tokens))


Candidates = list[tuple[float, int, float]]  # (-logit, token, weight): the most likely is the least


def partition(entries: Candidates, first: int, last: int, pivot: int) -> int:
    """Brings what is likelier than the pivot before it; returns where the pivot then stands."""
    entries[pivot], entries[last - 1] = entries[last - 1], entries[pivot]
    front = first
    for i in range(first, last - 1):
        if entries[i][:2] < entries[last - 1][:2]:
            entries[i], entries[front] = entries[front], entries[i]
            front += 1
    entries[front], entries[last - 1] = entries[last - 1], entries[front]
    return front


def keep_top_k(entries: Candidates, k: int) -> Candidates:
    if k == 0 or k >= len(entries):
        return entries
    pivots, first, last = Pcg32(), 0, len(entries)
    while last - first > 1:
        at = partition(entries, first, last, first + pivots.next() % (last - first))
        if at in (k, k - 1):
            break
        first, last = (at + 1, last) if at < k else (first, at)
    return entries[:k]


def keep_top_p(entries: Candidates, p: float) -> Candidates:
    if p >= 1:
        return entries
    missing = p * sum(weight for _, _, weight in entries)
    pivots, first, last = Pcg32(), 0, len(entries)
    while last - first > 1:
        at = partition(entries, first, last, first + pivots.next() % (last - first))
        before = sum(weight for _, _, weight in entries[first:at])
        if before >= missing:
            last = at
            continue
        missing -= before + entries[at][2]
        first = at + 1
        if missing <= 0:
            return entries[:first]
    return entries[:last]
