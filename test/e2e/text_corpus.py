"""Seeded mixed text for the tokenizer tests: languages, emoji, code, white space, odd characters."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

SENTENCES = [
    "The quick brown fox jumps over the lazy dog; it wasn't impressed.",
    "Don't you think they'll say we've done what I'm sure she'd do? It's THEIR'S, NOT OUR'S!",
    "Schrödingers Straßenkätzchen übte in Zürich fleißig 27½ Größenänderungen.",
    "Le garçon naïf a mangé l'œuf d'où vient cette idée étrange : « déjà vu » ?",
    "El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío, ¡añoraba!",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Ёжик №5.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.",
    "日本語のテキスト、漢字とひらがなとカタカナ。ﾊﾝｶｸも、１２３も。",
    "我能吞下玻璃而不伤身体。二〇二四年，第十二届。",
    "나는 유리를 먹을 수 있어요. 그래도 아프지 않아요",
    "أنا قادر على أكل الزجاج و هذا لا يؤلمني. ١٢٣٤٥",
    "אני יכול לאכול זכוכית וזה לא מזיק לי. שָׁלוֹם",
    "मैं काँच खा सकता हूँ और मुझे उससे कोई चोट नहीं पहुंचती। १२३",
    "ฉันกินกระจกได้ แต่มันไม่ทำให้ฉันเจ็บ ๑๒๓",
    "Tôi có thể ăn thủy tinh mà không hại gì. Tiếng Việt: ế ộ ữ",
    "Mogę jeść szkło i mi nie szkodzi. Zażółć gęślą jaźń",
    'for (int i = 0; i < 10; ++i) { printf("%d\\n", a[i] += 0x1F); } // done',
    "def f(x: list[int]) -> None:\n\treturn {k: v**2 for k, v in enumerate(x)}  # ok?\r\n",
    "SELECT * FROM users WHERE name LIKE '%O''Brien%' AND id IN (1,22,333,4444,55555);",
    '<div class="a-b_c">&nbsp;https://example.org/path?q=1&r=%20#frag</div>',
    '{"action": "set", "value": -12.5e+10, "list": [null, true, 1234567890]}',
]
EMOJI = ["😀", "👩‍👩‍👧‍👦", "👍🏽", "🇩🇪🇯🇵", "❤️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "☺", "1️⃣", "🧑🏿‍🚀", "™", "©"]
CONTRACTIONS = ["'s", "'S", "'t", "'T", "'re", "'RE", "'rE", "'ve", "'Ve", "'m", "'M", "'ll", "'LL"]
CONTRACTIONS += ["'Ll", "'d", "'D", "'x", "''", "'ſ", "'l", "'r", "'v", "' s", "’s"]
SPACES = [" ", "  ", "   ", "        ", "\n", "\n\n", "\r\n", "\r", "\t", "\t\t", " \n", "\n ", " \t "]
SPACES += ["\u00a0", "\u3000", "\u2028", "\u2003\u2003", "\x0b", "\x0c", "\x85", "\u200b", "\ufeff"]
MARKS = ["e\u0301", "a\u0323\u0302", "a\u0302\u0323", "\u0301", "o\u0308\u0304", "\u1100\u1161\u11a8"]
MARKS += ["\uac00\u11a8", "q\u0307\u0323", "\u212b", "\u2126", "\u0958", "\u0344", "\u0f73\u0f71"]
MARKS += ["\u1e9b\u0323", "\u03b1\u0313\u0301\u0345", "\u05e9\u05bc\u05c1", "\ufb1d", "\u0e33"]
NUMBERS = ["0", "12", "123", "1234", "12345", "1234567", "3.14", "1,000,000", "½", "Ⅷ", "٣٤٥", "²³"]
SPECIAL_LOOKALIKES = ["<|", "|>", "<s>", "</s>", "[INST]", "<0x0A>", "\u2581", "▁a", "a▁▁b", "<unk>"]
MAX_CODE_POINT = 0x10FFFF


def _random_characters(rng: random.Random) -> str:
    """Assigned or not, anywhere in Unicode but the surrogates."""
    ranges = [(0x20, 0x7F), (0xA0, 0x600), (0x600, 0x2000), (0x2000, 0x3400), (0x3400, 0xD800)]
    ranges += [(0xE000, 0x10000), (0x10000, 0x20000), (0x20000, MAX_CODE_POINT + 1)]
    low, high = rng.choice(ranges)
    return "".join(chr(rng.randrange(low, high)) for _ in range(rng.randrange(1, 6)))


def _fragment(rng: random.Random) -> str:
    def words() -> str:
        parts = rng.choice(SENTENCES).split(" ")
        start = rng.randrange(len(parts))
        return " ".join(parts[start : start + rng.randrange(1, 8)])

    def repeated() -> str:
        return rng.choice(["a", "ab", " ", "=", "-", "!", "1", "\n", "é", "中", "😀"]) * rng.randrange(1, 40)

    choices: list[Callable[[], str]] = [
        words,
        words,
        words,
        repeated,
        lambda: rng.choice(EMOJI),
        lambda: rng.choice(["it", "We", "I", "x1", "é", ""]) + rng.choice(CONTRACTIONS),
        lambda: rng.choice(SPACES) * rng.randrange(1, 4),
        lambda: rng.choice(MARKS),
        lambda: rng.choice(NUMBERS),
        lambda: rng.choice(SPECIAL_LOOKALIKES),
        lambda: "".join(rng.choice("!?.,;:()[]{}<>#$%&*+-/=@\\^_`|~\"'") for _ in range(rng.randrange(1, 6))),
        lambda: _random_characters(rng),
    ]
    return rng.choice(choices)()


def mixed_texts(count: int, seed: int) -> list[str]:
    """`count` texts, the whole sentences first, then random mixtures."""
    rng = random.Random(seed)
    texts = list(SENTENCES)
    while len(texts) < count:
        separator = rng.choice(["", " ", " ", "\n"])
        texts.append(separator.join(_fragment(rng) for _ in range(rng.randrange(1, 12))))
    return texts[:count]


def every_code_point() -> Iterator[str]:
    """Texts that together hold every code point between letters, digits, spaces and punctuation."""
    for start in range(0, MAX_CODE_POINT + 1, 64):
        if 0xD800 <= start < 0xE000:
            continue
        yield "".join(f"a{chr(c)}b {chr(c)}1{chr(c)}{chr(c)}.{chr(c)}\n" for c in range(start, start + 64))
