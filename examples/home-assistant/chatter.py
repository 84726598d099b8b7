"""Out-of-domain sentences of the home-assistant corpus: everything whose answer is {"action":"none"}.

Greetings, small talk, questions about the world and about the state of the house, statements that only mention a
device, idioms with command verbs ("open your mouth"), negated commands, fragments, other languages, code and noise.
"""

from __future__ import annotations

import random
import string

import lexicon

GREETINGS = [
    "hello", "hi", "hey", "good morning", "good evening", "good night", "how are you", "how are you doing", "thanks",
    "thank you", "bye", "goodbye", "see you later", "what's up", "nice to meet you", "who are you", "what's your name",
    "are you a robot", "i love you", "you are funny", "good job", "well done", "never mind", "forget it", "yes", "no",
    "maybe", "ok", "okay", "sure", "help", "what can you do", "tell me about yourself", "sorry", "welcome", "cool",
    "great", "haha", "lol", "hmm", "can you hear me", "are you there", "testing", "test", "sleep well", "merry christmas",
    "happy birthday", "how old are you", "where are you from", "do you speak german", "congratulations", "wow", "oh no",
    "good afternoon", "i am bored", "i'm hungry", "i'm tired", "i'm cold", "that's nice", "i hate this", "shut up",
    "you're welcome", "have a nice day", "what do you think", "it's dark", "wait", "stop it", "go away", "please",
]  # fmt: skip

FACT_SUBJECTS = [
    "the capital of france", "the tallest mountain", "the meaning of life", "the square root of two", "the weather",
    "the president of brazil", "the population of japan", "the boiling point of water", "the speed of light",
    "the time", "the date today", "the news", "the distance to the moon", "my horoscope", "the stock market",
    "the best pizza in town", "quantum physics", "a good book", "the football score", "the oldest city in europe",
    "the price of gold", "my next appointment", "the longest river", "a black hole", "photosynthesis", "a haiku",
    "the recipe for pancakes", "the roman empire", "the traffic to work", "the plot of hamlet", "machine learning",
    "the word for cat in spanish", "the next train to berlin", "a healthy breakfast", "the color of the sky",
    "the history of the light bulb", "the inventor of the telephone", "the melting point of iron", "a synonym for big",
]  # fmt: skip
FACT_FRAMES = [
    "what is {}", "what's {}", "tell me {}", "tell me about {}", "tell me more about {}", "do you know {}",
    "explain {}", "who knows {}", "i want to know {}", "can you tell me {}", "could you explain {} to me", "look up {}",
    "search for {}", "google {}", "where can i find {}", "why is {} important", "how does {} work", "how about {}",
    "what do you know about {}", "write an essay about {}", "show me {}", "read me {}", "what about {}", "find {}",
]  # fmt: skip

PEOPLE = [
    "my sister", "my brother", "the neighbour", "my boss", "the teacher", "a friend", "my uncle", "the dog", "the cat",
    "our cat", "the children", "he", "she", "they", "we", "i", "the mayor", "my doctor", "an old man", "the queen",
    "somebody", "nobody", "everyone", "the driver", "a bird", "my grandmother", "peter", "maria", "the team", "it",
]  # fmt: skip
PREDICATES = [
    "went to the market", "is very tired today", "bought a new car", "likes chocolate", "was late again", "had a dream",
    "plays the violin", "never answers the phone", "sleeps all day", "wants to travel to peru", "lost the keys",
    "forgot the milk", "won the game", "needs a holiday", "is reading a novel", "works in a bank", "lives in rome",
    "cooked a wonderful soup", "broke a leg", "drank three cups of tea", "told me a joke", "runs every morning",
    "saw a movie last night", "will arrive at noon", "can't swim", "sings in the shower", "got married in june",
    "painted the fence", "is 30 years old", "paid 50 dollars for it", "missed the bus", "planted five trees",
    "opened a shop", "closed the deal", "turned forty", "started a company", "stopped smoking", "set a new record",
]  # fmt: skip

OTHER_COMMANDS = [
    "play some jazz", "play the next song", "play my favourite playlist", "skip this song", "call mum", "call the police",
    "call an ambulance", "send a message to tom", "write an email to my boss", "order a pizza", "order more milk",
    "remind me to buy eggs", "remind me to call dad tomorrow", "add milk to the shopping list", "buy two tickets",
    "tell me a joke", "sing a song", "translate this to french", "read the news", "book a table for two", "make coffee",
    "feed the cat", "walk the dog", "clean the kitchen", "wash the dishes", "do my homework", "take out the trash",
    "make me a sandwich", "write a poem", "draw a picture", "solve this equation", "count to ten", "spell banana",
    "flip a coin", "roll a dice", "tell me a story", "wake up the kids for school", "take a picture", "water the plants",
    "schedule a meeting at 3", "cancel my appointment", "drive me home", "bring me a beer", "cook dinner", "hug me",
    "set the table", "set sail", "set the record straight", "turn around", "turn left at the corner", "turn the page",
    "turn into a frog", "open your mouth", "open a bank account", "open the document", "open a new tab", "open sesame",
    "close your eyes", "close the deal", "close the file", "close my account", "lock in the price", "lock me out",
    "start a conversation", "start over", "start from the beginning", "stop talking", "stop laughing", "stop crying",
    "start the lesson", "stop being silly", "dim the past", "unlock my potential", "raise a glass", "raise your hand",
    "lower your voice", "increase my salary", "decrease the tax", "switch sides", "switch to another topic", "run away",
    "run for president", "run a marathon", "power to the people", "shut your mouth", "put on a jacket", "get on the bus",
    "get off my lawn", "turn up at the party", "turn down the offer", "put off the meeting", "come on in", "move on",
    "hold on", "hang on a second", "carry on", "log off", "take off your shoes", "set off early", "show off", "cut it off",
    "paint a red horse", "make my day", "make a wish", "give me a break", "give me 20 dollars", "pull yourself together",
]  # fmt: skip

STATE_FRAMES = [
    "is {T} on", "are {T} on", "is {T} still on", "is {T} off", "did you turn off {T}", "did i leave {T} on",
    "did you lock {T}", "what is the state of {T}", "who turned on {T}", "who switched off {T}", "why is {T} on",
    "why are {T} off", "where is {T}", "where did you put {T}", "how old is {T}", "how much did {T} cost", "how bright is {T}",
    "how warm is {T}", "what's the temperature in {ROOM}", "how warm is it in {ROOM}", "is it cold in {ROOM}",
    "is anyone in {ROOM}", "who is in {ROOM}", "how big is {ROOM}", "when was {T} turned on", "which color is {T}",
    "how much power does {T} use", "is {T} open", "is {T} closed", "is {T} locked", "has {T} finished", "is {T} running",
    "{T} is broken", "{T} is too expensive", "{T} was a gift", "i like {T}", "i love {T}", "i hate {T}", "i sold {T}",
    "i bought {T} last year", "{T} looks nice", "{T} makes a strange noise", "{T} fell off the wall", "we painted {ROOM}",
    "i am in {ROOM}", "the cat is in {ROOM}", "{ROOM} is a mess", "{ROOM} needs a new carpet", "dinner is in {ROOM}",
    "don't turn on {T}", "do not turn off {T}", "don't touch {T}", "never open {T}", "don't close {T}", "do not lock {T}",
    "please don't turn {T} off", "don't set {T} to 30 percent", "don't switch {T} on", "leave {T} alone", "do not start {T}",
    "don't dim {T}", "please do not open {T}", "you must not turn on {T}", "no need to turn off {T}", "don't change {T}",
    "i turned off {T} already", "i just opened {T}", "she turned on {T}", "tom closed {T} yesterday", "{T} turned on by itself",
    "clean {T}", "sell {T}", "repair {T}", "buy {T}", "describe {T}", "draw {T}", "compare {T} with the old one", "paint {ROOM}",
    "sweep {ROOM}", "meet me in {ROOM}", "what do you think about {T}", "can you see {T}", "{T} has 3 buttons", "{T} from 1980",
    "how do i install {T}", "how do i turn on {T}", "what happens if i turn off {T}", "should i turn off {T}", "what is {T}",
    "{T}", "{ROOM}", "in {ROOM}", "the {D}", "{D}", "is {ROOM} bigger than 20 square meters", "tell me a story about {T}",
]  # fmt: skip

FRAGMENTS = [
    "turn", "turn on", "turn off", "switch", "set", "set to 30", "30 percent", "to 50 percent", "dim", "the", "and", "on",
    "off", "open", "close", "lock", "please", "could you", "can you please", "in the", "100", "21 degrees", "percent", "red",
    "a", "i want", "i need you to", "make it", "set the", "turn on the", "turn it on", "turn it off", "open it", "close it",
    "would you", "up", "down", "start", "stop", "timer", "minutes", "ten minutes", "color", "blue", "set it to", "room",
]  # fmt: skip

FOREIGN = [
    "guten morgen", "wie geht es dir", "mach das licht an", "bonjour", "comment ça va", "allume la lumière",
    "hola qué tal", "buenos días", "enciende la luz", "ciao come stai", "accendi la luce", "bom dia", "obrigado",
    "dzień dobry", "god morgon", "hyvää päivää", "dobrý den", "merhaba", "こんにちは", "你好", "привет", "γεια σου",
    "goedemorgen", "doe het licht aan", "danke schön", "je ne sais pas", "no entiendo", "ich habe hunger", "vielen dank",
    "dove sei", "où est la gare", "wo ist der bahnhof", "una cerveza por favor", "tack så mycket", "şerefe", "안녕하세요",
]  # fmt: skip

CODE = [
    "print('hello world')", "for i in range(10):", "select * from users", "x = y + 2", "{\"a\": 1}", "<html></html>",
    "int main() { return 0; }", "git commit -m fix", "rm -rf /tmp/x", "2 + 2 = 4", "f(x) = x^2", "https://example.com",
    "def f(x): return x", "import os", "sudo reboot", "if (a > b) c = 1;", "C:\\temp\\a.txt", "#include <stdio.h>",
    "{\"action\":\"turn_on\"}", "a && b || c", "ls -la", "cd ..", "x++", "null", "undefined", "true", "0x7f", "1/0",
]  # fmt: skip

EMOJI = ["😀", "😂", "🙏", "❤️", "👍", "🎉", "🔥", "💡", "🏠", "🤖", "😴", "☕"]

SALAD = [
    "banana", "purple", "seven", "cloud", "runs", "quickly", "tomorrow", "mountain", "spoon", "dream", "engine", "cat",
    "river", "under", "because", "pencil", "dance", "yellow", "always", "door", "green", "light", "fish", "never", "moon",
    "kitchen", "sings", "between", "paper", "window", "king", "salt", "jump", "over", "percent", "lamp", "or", "and", "of",
    "question", "money", "north", "shoe", "very", "loud", "tree", "sleep", "blue", "idea", "stone", "with", "bread", "turn",
    "history", "doctor", "guitar", "winter", "planet", "number", "garden", "soft", "quiet", "summer", "bottle", "wheel",
]  # fmt: skip


def babble(rng: random.Random) -> str:
    """Letters, digits and symbols without meaning."""
    kind = rng.randrange(4)
    if kind == 0:
        return "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(2, 16)))
    if kind == 1:
        return " ".join(
            "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(1, 8)))
            for _ in range(rng.randint(2, 6))
        )
    if kind == 2:
        return (
            "".join(rng.choice(string.digits + string.punctuation + " ") for _ in range(rng.randint(1, 14))).strip()
            or "?"
        )
    return rng.choice(["la", "bla", "na", "ha", "do", "ta", "mi", "wo"]) * rng.randint(2, 7)


def sentence(rng: random.Random, device: str, target: str, room: str) -> tuple[str, str]:
    """One out-of-domain sentence and its family. `device`, `target` ("the lamp in the hall") and `room` ("the hall")
    serve those that only mention the house."""
    family = rng.choices(
        ["greeting", "fact", "story", "command", "state", "fragment", "foreign", "code", "babble", "salad"],
        [12, 13, 13, 17, 27, 4, 3, 2, 4, 5],
    )[0]
    if family == "greeting":
        text = ", ".join(rng.sample(GREETINGS, rng.choice([1, 1, 2])))
    elif family == "fact":
        text = rng.choice(FACT_FRAMES).format(rng.choice(FACT_SUBJECTS))
    elif family == "story":
        text = f"{rng.choice(PEOPLE)} {rng.choice(PREDICATES)}"
        if rng.random() < 0.3:
            text += (
                f" {rng.choice(['and', 'but', 'because', 'while', 'so'])} {rng.choice(PEOPLE)} {rng.choice(PREDICATES)}"
            )
    elif family == "command":
        text = rng.choice(OTHER_COMMANDS)
    elif family == "state":
        text = rng.choice(STATE_FRAMES).replace("{T}", target).replace("{D}", device).replace("{ROOM}", room)
    elif family == "fragment":
        text = rng.choice(FRAGMENTS)
    elif family == "foreign":
        text = rng.choice(FOREIGN)
    elif family == "code":
        text = rng.choice(CODE)
    elif family == "babble":
        text = babble(rng)
    else:
        text = " ".join(rng.choice(SALAD) for _ in range(rng.randint(2, 8)))
    if rng.random() < 0.03:
        text += " " + rng.choice(EMOJI) * rng.randint(1, 3)
    return text, family


def vocabulary() -> list[str]:
    """Every list above as one, for the checks that held-out names never occur in training text."""
    lists = [GREETINGS, FACT_SUBJECTS, FACT_FRAMES, PEOPLE, PREDICATES, OTHER_COMMANDS, STATE_FRAMES, FRAGMENTS, SALAD]
    return [entry for entries in lists for entry in entries] + lexicon.NOUNS + lexicon.MODIFIERS
