"""A byte-level BPE tokenizer with GPT-2 pre-tokenization and ChatML special tokens.

Merges are learned on single words, never across the space before a word: " lamp" is [Ġ, lamp], the same `lamp` as
inside a JSON string. A small model can then copy a name it has never seen token by token. It costs about one more
token per word and is otherwise an ordinary GPT-2 tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learns the merges; the result has exactly `vocab_size` entries, the special tokens first."""
    tokenizer = Tokenizer(models.BPE())
    split_spaces = pre_tokenizers.Split(Regex(r"\s+"), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split_spaces, byte_level])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != vocab_size:
        raise ValueError(f"the text yields only {tokenizer.get_vocab_size()} of {vocab_size} tokens; give more text")
    tokenizer.pre_tokenizer = byte_level
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def load_tokenizer(tokens: list[str], merges: list[str], special_ids: list[int]) -> Tokenizer:
    """The tokenizer that a GGUF file's token and merge lists describe."""
    vocabulary = {token: index for index, token in enumerate(tokens)}
    pairs = [(left, right) for left, right in (merge.split(" ") for merge in merges)]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([tokens[index] for index in special_ids])
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, directory: Path, context: int) -> None:
    """tokenizer.json and tokenizer_config.json (with the chat template) for `transformers`."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=context
    )
    fast.chat_template = CHATML
    fast.save_pretrained(directory)


def chat_prompt(text: str) -> str:
    """One user turn in ChatML, up to where the answer starts."""
    return f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
