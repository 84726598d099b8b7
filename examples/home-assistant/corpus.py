"""Generates the home-assistant corpus: sentences and the JSON action each one asks for.

    python corpus.py --split train --count 20 --seed 1     # one JSON object per line: {"text": ..., "answer": ...}

Splits: `train`; `test` (training phrasings and devices, unseen sentences), `test-phrasings` (patterns kept out of
training), `test-devices` (device and room names kept out of training). A sentence belongs to training or to a test
by a hash of its text, so no test sentence is ever trained on. About one sentence in ten is out of domain.
The sentences in handwritten.jsonl were written by hand, outside this grammar, and are never used here.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import chatter
import lexicon
import phrasings
from coined import coined_word, misspell

SPLITS = ("train", "test", "test-phrasings", "test-devices")
NONE_SHARE = 0.11
ECHO_SHARE = 0.5  # of the simple sentences
TEST_HASH_SHARE = 20  # one sentence in twenty hashes into the tests

ACTION_WEIGHTS = {
    "turn_on": 15, "turn_off": 15, "set_brightness": 12, "set_temperature": 10, "set_volume": 6, "set_position": 5,
    "set_color": 7, "increase": 6, "decrease": 6, "open": 6, "close": 6, "lock": 4, "unlock": 4, "start": 4, "stop": 4,
    "set_timer": 5,
}  # fmt: skip

# Which devices an action fits, and (for names nobody has seen) the words that make the action plain without
# knowing what the device is: "dim the zorvo to 30" can only be a brightness, "set the zorvo to 30" could be anything.
KINDS: dict[str, list[str]] = {
    "turn_on": ["lights", "lights", "climate", "media", "appliances", "appliances"],
    "turn_off": ["lights", "lights", "climate", "media", "appliances", "appliances"],
    "set_brightness": ["lights"], "set_color": ["lights"], "set_temperature": ["climate"], "set_volume": ["media"],
    "set_position": ["covers"], "increase": ["lights", "climate", "media"], "decrease": ["lights", "climate", "media"],
    "open": ["covers", "covers", "locks"], "close": ["covers", "covers", "locks"], "lock": ["locks"],
    "unlock": ["locks"], "start": ["appliances"], "stop": ["appliances"],
}  # fmt: skip
PLAIN_WORDS = {
    "set_brightness": r"dim|bright", "set_temperature": r"°|degree|temperature|heat|\dc\b", "set_volume": r"volume",
    "set_position": r"open|close|position", "increase": r"bright|loud|warm|hot|turn|crank|increase|boost|more",
    "decrease": r"dim|quiet|cool|cold|turn|decrease|reduce|less", "open": r"open", "close": r"clos|shut",
}  # fmt: skip
KNOWN = {
    "lights": lexicon.LIGHTS, "climate": lexicon.CLIMATE, "media": lexicon.MEDIA, "covers": lexicon.COVERS,
    "locks": lexicon.LOCKS, "appliances": lexicon.APPLIANCES,
}  # fmt: skip
HELD_OUT_DEVICES = {
    "lights": lexicon.HELD_OUT_LIGHTS, "climate": lexicon.HELD_OUT_CLIMATE, "media": lexicon.HELD_OUT_MEDIA,
    "covers": lexicon.HELD_OUT_COVERS, "locks": lexicon.HELD_OUT_LOCKS, "appliances": lexicon.HELD_OUT_APPLIANCES,
}  # fmt: skip
HELD_OUT_NAMES = [name for names in HELD_OUT_DEVICES.values() for name in names] + lexicon.HELD_OUT_ROOMS
HELD_OUT_RE = re.compile(r"\b(" + "|".join(map(re.escape, HELD_OUT_NAMES)) + r")\b")
HEADS = {
    "lights": ["light", "lights", "lamp", "lamps", "bulb", "spotlight", "strip"],
    "climate": ["heater", "radiator", "thermostat", "oven"],
    "media": ["speaker", "radio", "tv", "stereo"],
    "covers": ["blinds", "curtains", "window", "shutters", "gate"],
    "locks": ["door", "gate", "safe", "cabinet"],
    "appliances": ["machine", "fan", "pump", "maker", "cooker", "plug", "system", "motor"],
}  # fmt: skip


@dataclass(frozen=True)
class Example:
    """A user's sentence and the exact text the model must answer with."""

    text: str
    answer: str


def action_json(action: str, **fields: str | float | None) -> str:
    """The answer: keys in the fixed order action, device, room, value, unit; no spaces; absent keys left out."""
    ordered = {"action": action}
    for key in ("device", "room", "value", "unit"):
        if fields.get(key) is not None:
            ordered[key] = fields[key]  # type: ignore[assignment]
    return json.dumps(ordered, separators=(",", ":"), ensure_ascii=False)


NONE_ANSWER = action_json("none")


def expand(pattern: str, rng: random.Random) -> str:
    """Replaces each [a|b|c] by one of its alternatives and tidies the spaces."""
    text = re.sub(r"\[([^\]]*)\]", lambda match: rng.choice(match.group(1).split("|")), pattern)
    return re.sub(r"\s+", " ", text).strip()


def handwritten() -> list[Example]:
    """The sentences written by hand, for evaluation only; no split ever generates one of them."""
    lines = [json.loads(line) for line in Path(__file__).with_name("handwritten.jsonl").read_text("utf-8").splitlines()]
    return [Example(line["text"], action_json(line["action"].pop("action"), **line["action"])) for line in lines]


def plain(text: str) -> str:
    """Lower-case words only, to compare sentences by."""
    return " ".join(re.findall(r"\w+", text.lower())) or text


class Generator:
    """Draws examples of one split from one seed. `simple` sentences are bare commands, without politeness, small talk,
    typing errors and out-of-domain text, and most of their devices are coined: the first lesson is to copy names."""

    def __init__(self, split: str, seed: int, simple: bool = False) -> None:
        if split not in SPLITS:
            raise ValueError(f"split '{split}' is unknown; choose one of {', '.join(SPLITS)}")
        self.split = split
        self.rng = random.Random(f"{split}-{seed}")
        self.simple = simple
        self.never = {plain(example.text) for example in handwritten()}

    def __iter__(self) -> Iterator[Example]:
        while True:
            example = self.draw()
            if plain(example.text) in self.never:
                continue
            is_test = zlib.crc32(example.text.encode()) % TEST_HASH_SHARE == 0
            if self.split == "train" and (is_test or HELD_OUT_RE.search(example.text.lower())):
                continue
            if self.split == "test" and not is_test:
                continue
            yield example

    def draw(self) -> Example:
        rng = self.rng
        if self.simple and rng.random() < ECHO_SHARE:
            return self.echo()
        if not self.simple and self.split in ("train", "test") and rng.random() < NONE_SHARE:
            device, _ = self.device("appliances" if rng.random() < 0.4 else "lights")
            text, family = chatter.sentence(
                rng, device, self.target(device, self.room()), "the " + rng.choice(lexicon.ROOMS)
            )
            if family in ("fact", "state", "command") and rng.random() < 0.2:
                text = f"{rng.choice(phrasings.PREFIXES)} {text}"
            noisy = family not in ("code", "foreign", "babble")
            return Example(self.finish(text, "?" if rng.random() < 0.3 else "", noisy), NONE_ANSWER)
        return self.command()

    # --- names -------------------------------------------------------------------------------------------------

    def echo(self) -> Example:
        """Coined words, to be answered with some of them in a row: copying and nothing else."""
        rng = self.rng
        words = [coined_word(rng) for _ in range(rng.randint(3, 7))]
        length = rng.randint(2, len(words))
        start = rng.randint(0, len(words) - length)
        return Example(" ".join(words), " ".join(words[start : start + length]))

    def device(self, kind: str) -> tuple[str, bool]:
        """A device name and whether its kind can be known from the name."""
        rng = self.rng
        if self.split == "test-devices":
            return rng.choice(HELD_OUT_DEVICES[kind]), False
        roll = rng.uniform(0.4, 1.0) if self.simple else rng.random()
        if self.split == "test-phrasings" or roll < 0.45:
            return rng.choice(KNOWN[kind]), True
        if roll < 0.53:
            return f"{rng.choice(lexicon.MODIFIERS)} {rng.choice(HEADS[kind])}", True
        if roll < 0.63:
            return f"{rng.choice([coined_word(rng), rng.choice(lexicon.NOUNS)])} {rng.choice(HEADS[kind])}", True
        if roll < 0.70:
            return rng.choice(lexicon.NOUNS), False
        if roll < 0.74:
            return (
                f"{rng.choice(lexicon.MODIFIERS)} {rng.choice([coined_word(rng), rng.choice(lexicon.NOUNS)])}",
                False,
            )
        if roll < 0.82:
            first = rng.choice([rng.choice(KNOWN[kind]), rng.choice(lexicon.NOUNS), coined_word(rng)])
            return (
                f"{first} {rng.choice([rng.choice(lexicon.PARTS), rng.choice(lexicon.PARTS), coined_word(rng)])}",
                False,
            )
        return " ".join(coined_word(rng) for _ in range(rng.choice([1, 1, 1, 2, 2, 3]))), False

    def room(self) -> str | None:
        """A room, "all" for the whole house, or None for a sentence that names no place."""
        rng = self.rng
        roll = rng.random()
        if roll < 0.36:
            return None
        if roll < 0.44:
            return "all"
        if roll < 0.50:
            return rng.choice(lexicon.ADVERB_ROOMS)
        if self.split == "test-devices" and roll < 0.65:
            return rng.choice(lexicon.HELD_OUT_ROOMS)
        if roll < 0.56:
            return f"{rng.choice(lexicon.OWNERS)}'s {rng.choice(['room', 'bedroom', 'office', 'bathroom'])}"
        if roll < 0.66 and self.split == "train":
            if rng.random() < 0.4:
                return coined_word(rng) + rng.choice(["", "", "room", "house"])
            first = rng.choice([coined_word(rng), coined_word(rng), rng.choice(lexicon.MODIFIERS)])
            return f"{first} {rng.choice(['room', 'room', 'hall', 'corner', 'house'])}"
        return rng.choice(lexicon.ROOMS)

    def article(self) -> str:
        return self.rng.choices(["the ", "", "my ", "our ", "that ", "those "], [70, 16, 8, 3, 1, 1])[0]

    def target(self, device: str, room: str | None) -> str:
        """The noun phrase that names a device in a room."""
        rng = self.rng
        if room is None:
            return self.article() + device
        if room == "all":
            single = device.removesuffix("s") if device.endswith("s") and not device.endswith("ss") else device
            choices = [
                f"all the {device}", f"all {device}", f"all of the {device}", f"the {device} everywhere",
                f"every {device}" if single == device else f"all the {device}", f"the {device} in the whole house",
                f"the {device} in every room", f"all the {device} in the house", f"the {device} in all rooms",
                f"all {device} in the house", f"each and every {device}", f"all my {device}",
            ]  # fmt: skip
            return rng.choice(choices)
        if room in lexicon.ADVERB_ROOMS:
            return rng.choice([f"the {device} {room}", f"the {room} {device}", f"{device} {room}", f"{room} {device}"])
        if "'s " in room:
            return rng.choice([f"{room} {device}", f"the {device} in {room}", f"{device} in {room}"])
        if room not in lexicon.ROOMS and " " not in room:  # "the veranda lamp" could be a device; this cannot
            return rng.choice([f"the {device} in the {room}", f"{device} in the {room}", f"{device} in {room}"])
        every = rng.random()
        if every < 0.05:
            return f"all [the|] {device} in the {room}".replace("[the|]", rng.choice(["the", ""])).replace("  ", " ")
        choices = [f"the {room} {device}", f"the {device} in the {room}", f"{room} {device}", f"{device} in the {room}",
                   f"the {device} in the {room}", f"the {device} of the {room}", f"the {room}'s {device}",
                   f"my {room} {device}", f"{device} in {room}", f"the {device} inside the {room}"]  # fmt: skip
        return rng.choices(choices, [30, 24, 12, 8, 8, 2, 3, 5, 4, 2])[0]

    def place(self, room: str | None) -> str:
        """A place clause: "in the kitchen", "upstairs"."""
        if room is None:
            return ""
        if room == "all":
            return self.rng.choice(
                ["everywhere", "in the whole house", "in every room", "in all rooms", "all over the house"]
            )
        if room in lexicon.ADVERB_ROOMS:
            return room
        if "'s " in room:
            return f"in {room}"
        return self.rng.choice([f"in the {room}", f"in the {room}", f"in my {room}", f"in {room}", f"for the {room}"])

    # --- values ------------------------------------------------------------------------------------------------

    def number(self, value: int) -> str:
        """Digits or words."""
        if self.rng.random() < 0.22 and value <= 100:
            words = lexicon.spell_number(value)
            return words.replace("-", " ") if self.rng.random() < 0.6 else words
        return str(value)

    def percent(self) -> tuple[str, int]:
        rng = self.rng
        if rng.random() < 0.09:
            named = {
                "half": 50,
                "full": 100,
                "max": 100,
                "maximum": 100,
                "a quarter": 25,
                "three quarters": 75,
                "zero": 0,
            }
            word = rng.choice(list(named))
            return word, named[word]
        value = rng.choice([rng.randint(0, 100), rng.randint(0, 20) * 5])
        number = self.number(value)
        unit = rng.choice([" percent", " percent", "%", "%", " %", "", " per cent", " pct"])
        return number + (" percent" if unit in ("%", " %") and not number.isdigit() else unit), value

    def temperature(self) -> tuple[str, int | float]:
        rng = self.rng
        value = rng.choices([rng.randint(14, 28), rng.randint(-20, 12), rng.randint(58, 85), rng.randint(10, 25) * 10],
                            [75, 4, 9, 12])[0]  # fmt: skip
        if rng.random() < 0.07 and value > 0:
            return f"{value}.5{rng.choice([' degrees', '°', '', ' °c', ' celsius'])}", value + 0.5
        number = self.number(value) if value >= 0 else str(value)
        units = [" degrees", " degrees", "°", "", " degrees celsius", " °c", "c", " c", " degree", " celsius"]
        unit = rng.choice(units)
        return number + (unit if number.lstrip("-").isdigit() or " d" in unit else " degrees"), value

    def duration(self) -> tuple[str, int, str]:
        rng = self.rng
        named = {"an hour": (1, "hours"), "half an hour": (30, "minutes"), "a minute": (1, "minutes"),
                 "one hour": (1, "hours"), "a quarter of an hour": (15, "minutes"), "a couple of minutes": (2, "minutes")}  # fmt: skip
        if rng.random() < 0.12:
            words = rng.choice(list(named))
            return words, *named[words]
        unit = rng.choices(["seconds", "minutes", "hours"], [2, 6, 2])[0]
        value = {"seconds": rng.randint(5, 90), "minutes": rng.randint(1, 60), "hours": rng.randint(1, 12)}[unit]
        short = {"seconds": ["seconds", "second", "sec", "s"], "minutes": ["minutes", "minute", "min", "mins", "m"],
                 "hours": ["hours", "hour", "hrs", "h"]}[unit]  # fmt: skip
        name = rng.choices(short, [60, 12, 12, 4] + [4] * (len(short) - 4))[0]
        number = self.number(value)
        joint = (
            "-"
            if name in ("second", "minute", "hour")
            else rng.choice([" ", " ", " ", ""])
            if number.isdigit()
            else " "
        )
        return f"{number}{joint}{name}", value, unit

    # --- sentences ---------------------------------------------------------------------------------------------

    def patterns(self, action: str) -> list[str]:
        """The patterns of an action. "_only" and quantity patterns ("make it louder") name no device."""
        if self.split == "test-phrasings":
            names = [action, f"{action}_only"]
            return [pattern for name in names for pattern in phrasings.HELD_OUT.get(name, [])]
        own = list(phrasings.PATTERNS.get(action, []))
        if action in ("turn_on", "turn_off"):
            word = "on" if action == "turn_on" else "off"
            own += [pattern.replace("{P}", word) for pattern in phrasings.ON_OFF] * 2
        if self.split != "test-devices":
            own += phrasings.PATTERNS.get(f"{action}_only", [])
        return own

    def command(self) -> Example:
        rng = self.rng
        action = rng.choices(list(ACTION_WEIGHTS), list(ACTION_WEIGHTS.values()))[0]
        if action == "set_timer":
            words, amount, unit = self.duration()
            pattern = expand(rng.choice(self.patterns(action)), rng)
            return Example(
                self.decorate(pattern.replace("{N}", words), pattern), action_json(action, value=amount, unit=unit)
            )
        quantity = action in ("increase", "decrease") and self.split in ("train", "test") and rng.random() < 0.3
        if quantity:
            device = rng.choice(["temperature", "volume", "brightness"])
            pattern = expand(rng.choice(phrasings.PATTERNS[f"{action}_{device}"]), rng)
            known = True
        else:
            pattern = expand(rng.choice(self.patterns(action)), rng)
            kind = rng.choice(KINDS[action])
            for slot, slot_kind in (("{L}", "lights"), ("{H}", "climate"), ("{M}", "media"), ("{V}", "covers")):
                kind = slot_kind if slot in pattern else kind
            device, known = self.device(kind)
        value: int | float | str | None = None
        words = ""
        if action in ("set_brightness", "set_volume", "set_position"):
            words, value = self.percent()
        elif action == "set_temperature":
            words, value = self.temperature()
        elif action == "set_color":
            words = rng.choice(lexicon.COLORS)
            value = words
        if not known and action in PLAIN_WORDS and not re.search(PLAIN_WORDS[action], pattern.replace("{N}", words)):
            return self.command()
        room = self.room()
        if "{ROOM}" in pattern and (room is None or room == "all" or room in lexicon.ADVERB_ROOMS):
            room = rng.choice(lexicon.ROOMS)
        named = any(slot in pattern for slot in ("{T}", "{L}", "{H}", "{M}", "{V}", "{D}"))
        text = self.fill(pattern, device, room, words)
        fields = {"device": device if named or quantity else None, "room": room, "value": value}
        return Example(self.decorate(text, pattern, device, room), action_json(action, **fields))

    def fill(self, pattern: str, device: str, room: str | None, words: str) -> str:
        """Puts names and values into a pattern; the room stands in the target, before it, or after the sentence."""
        rng = self.rng
        outside = room is not None and "{IN}" not in pattern and "{ROOM}" not in pattern and rng.random() < 0.22
        inner = None if outside or "{IN}" in pattern else room
        text = pattern.replace("{D}", device).replace("{N}", words).replace("{C}", words)
        for slot in ("{T}", "{L}", "{H}", "{M}", "{V}"):
            if slot in text:
                text = text.replace(slot, self.target(device, inner), 1)
        owner = room is not None and "'s " in room
        text = text.replace("{ROOM}", room if owner and room else f"the {room}").replace("{IN}", self.place(room))
        if outside:
            place = self.place(room)
            text = rng.choice(
                [f"{place}, {text}", f"{place} {text}", f"{text} {place}", f"{text}, {place}", f"{text} {place}"]
            )
            if rng.random() < 0.1:
                text = f"{room}: {text.replace(place, '')}".replace(" ,", "") if room != "all" else text
        return re.sub(r"\s+", " ", text).strip(" ,")

    def decorate(self, text: str, pattern: str, device: str = "", room: str | None = None) -> str:
        """Politeness, hesitation and small talk around a command, then typing noise."""
        rng = self.rng
        if self.simple:
            return text
        imperative = not re.match(
            r"\{|i |i'd|we|nobody|no |would|mind|time|how|what|more|less|let|to ", pattern
        ) and bool(pattern)
        if rng.random() < 0.45:
            prefix = rng.choice(phrasings.PREFIXES)
            if imperative or prefix.endswith(",") or prefix == "please":
                text = f"{prefix} {text}"
        if rng.random() < 0.12:
            text = f"{rng.choice(phrasings.PREAMBLES)}{rng.choice([',', '.', ' so', ' -', ', so'])} {text}"
        if rng.random() < 0.25:
            text = f"{text}{rng.choice([',', '', ''])} {rng.choice(phrasings.SUFFIXES)}"
        if rng.random() < 0.04:
            text = f"{text}, {rng.choice(phrasings.PREAMBLES)}"
        listed = device in KNOWN_NAMES
        protected = set() if listed else set(device.split())
        if room is not None and room not in lexicon.ROOMS:
            protected |= set(room.split())
        end = rng.choices(["", ".", "!", "?", " !", "..."], [60, 26, 7, 4, 1, 2])[0]
        return self.finish(text, end, True, protected)

    def finish(self, text: str, end: str, noisy: bool, protected: set[str] | None = None) -> str:
        """Typos (never in a name that can only be copied), case and final punctuation."""
        rng = self.rng
        if noisy and rng.random() < 0.2:
            words = text.split(" ")
            for _ in range(rng.choice([1, 1, 1, 2])):
                at = rng.randrange(len(words))
                if words[at].strip(",.:'") not in (protected or set()):
                    words[at] = misspell(words[at], rng)
            text = " ".join(words)
        if noisy and rng.random() < 0.06:
            text = text.replace("'", "").replace(",", "")
        text += end
        roll = rng.random()
        if roll < 0.4:
            return text[:1].upper() + text[1:]
        if roll < 0.42 and noisy:
            return text.upper() if not protected else text
        return text


KNOWN_NAMES = {name for names in KNOWN.values() for name in names} | {"temperature", "volume", "brightness", ""}


def generate(split: str, count: int, seed: int) -> list[Example]:
    """The first `count` examples of a split for a seed."""
    stream = iter(Generator(split, seed))
    return [next(stream) for _ in range(count)]


def test_split(count: int, seed: int = 7) -> dict[str, list[Example]]:
    """The generated test: 40 % unseen sentences, 30 % held-out phrasings, 30 % held-out devices."""
    shares = {"test": 0.4, "test-phrasings": 0.3, "test-devices": 0.3}
    return {split: generate(split, round(count * share), seed) for split, share in shares.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Prints generated examples, one JSON object per line.")
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for example in generate(options.split, options.count, options.seed):
        print(json.dumps({"text": example.text, "answer": example.answer}, ensure_ascii=False))


if __name__ == "__main__":
    main()
