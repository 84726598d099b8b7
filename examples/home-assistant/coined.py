"""Made-up words and typing errors for the home-assistant corpus.

A name made of coined words means nothing to the model and can only be copied, as the names people give their
devices. They are drawn so that no short list of syllables or words could be learned instead.
"""

from __future__ import annotations

import random
import string

import chatter
import lexicon

SYLLABLES = [
    c + v + e
    for c in ["b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "tr", "br", "gl", "st", "ch", "fl", "qu", "w"]
    for v in ["a", "e", "i", "o", "u", "ee", "ou"]
    for e in ["", "", "n", "r", "x", "l", "s", "m", "ck"]
]  # fmt: skip
NEIGHBOURS = {
    "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "j": "hk",
    "k": "jl", "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o", "q": "wa", "r": "et", "s": "ad", "t": "ry", "u": "yi",
    "v": "cb", "w": "qe", "x": "zc", "y": "tu", "z": "x",
}  # fmt: skip


def _letter_chain() -> dict[str, str]:
    """For every pair of letters the letters that follow it in the word lists; "$" marks both ends of a word."""
    chain: dict[str, str] = {}
    for word in lexicon.WORDS + lexicon.NOUNS + lexicon.MODIFIERS + lexicon.ROOMS + chatter.SALAD:
        for part in word.split():
            padded = f"$${part}$"
            for at in range(len(part) + 1):
                pair = padded[at : at + 2]
                chain[pair] = chain.get(pair, "") + padded[at + 2]
    return chain


LETTER_CHAIN = _letter_chain()


def made_up_word(rng: random.Random) -> str:
    """Three to eleven letters that follow one another as in English, with a random letter now and then."""
    while True:
        word = "$$"
        while len(word) < 13:
            following = rng.choice(LETTER_CHAIN.get(word[-2:], "$"))
            if following == "$":
                break
            word += rng.choice(string.ascii_lowercase) if rng.random() < 0.06 else following
        if len(word) >= 5:
            return word[2:]


def coined_word(rng: random.Random) -> str:
    """An unrelated word ("falcon"), a compound ("pearlbox") or a made-up word ("zorvo", "chanterim")."""
    roll = rng.random()
    if roll < 0.25:
        return rng.choice(lexicon.WORDS)
    if roll < 0.45:
        first = rng.choice([rng.choice(lexicon.WORDS), rng.choice(lexicon.MODIFIERS).split()[0], made_up_word(rng)[:5]])
        return first + rng.choice(lexicon.PARTS)
    if roll < 0.6:
        return "".join(rng.choice(SYLLABLES) for _ in range(rng.choice([1, 2, 2, 2, 3])))
    return made_up_word(rng)


def misspell(word: str, rng: random.Random) -> str:
    """One typing error: a letter swapped, dropped, doubled, replaced or inserted. Short words and numbers stay."""
    if len(word) < 4 or not word.isalpha() or not word.isascii():
        return word
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(5)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + word[at] + word[at:]
    near = rng.choice(NEIGHBOURS.get(word[at].lower(), "e"))
    return word[:at] + near + word[at + (1 if kind == 3 else 0) :]
