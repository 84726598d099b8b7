"""Writes the seed corpora of the chat template, tokenizer and saved logits fuzzers.

PYTHONPATH=test/e2e python test/fuzz/make_text_seeds.py test/fuzz/corpus
"""

import struct
import sys
from pathlib import Path

import chat_templates

TEXTS = {
    "words": "Hello, world's 12345 tokens!\n\n  It\u2019LL do.\t<s> <tool> x\u00e9 e\u0301",
    "scripts": "\u4e2d\u6587\u3002 \u0e44\u0e17\u0e22 \u0928\u092e\u0938\u094d\u0924\u0947 \uac00\u1100\u1161 \u05d0",
    "runs": "aaaa  \r\n\r\n   \u2003... '' 1234567 $%&/ \U0001f600\u200d",
}
STATEMENTS = """{%- set ns = namespace(n=0) -%}
{% if messages[0]['role'] == 'system' and messages|length > 1 %}{% set loop_messages = messages[1:] %}
{% else %}{% set loop_messages = messages %}{% endif %}
{% for m in loop_messages if m.content is defined %}{% set ns.n = ns.n + 1 %}
{% if m.role not in ['user', 'assistant'] %}{{ raise_exception('role ' ~ m.role) }}{% break %}{% endif %}
{{ bos_token + '[' + (m.content | trim | upper).split(' ')[-1] + ']' }}{{ loop.index0 % 2 }}{% endfor %}
{{ {'a': [1, -2, none], "b": true}['a'][::-1] | join(', ') if add_generation_prompt else '' }}
"""


def main() -> None:
    templates, texts, logits = (Path(sys.argv[1]) / name for name in ("chat_template", "tokenizer", "saved_logits"))
    for folder in (templates, texts, logits):
        folder.mkdir(parents=True, exist_ok=True)
    for name in ("CHATML", "GEMMA", "LLAMA2", "LLAMA31", "MISTRAL_V3", "QWEN3", "ZEPHYR"):
        template = getattr(chat_templates, name)
        (templates / f"{name.lower()}.jinja").write_text(getattr(template, "source", template))
    (templates / "statements.jinja").write_text(STATEMENTS)
    # The first byte chooses the pre-tokenizer; above 127 special tokens are taken as such.
    for choice in range(0, 256, 11):
        name, text = list(TEXTS.items())[choice % 3]
        (texts / f"{name}-{choice}").write_bytes(bytes([choice]) + text.encode() + b"\xff\xe4")
    # The first two bytes choose vocabulary and context; see saved_logits_fuzzer.cpp.
    for vocabulary, context in ((1, 2), (5, 4), (8, 7)):
        tokens = [i % vocabulary for i in range(2 * context)]
        rows = 2 * (context - 1 - context // 2)
        file = b"TERNLGTS" + struct.pack("<4I", 1, vocabulary, context, 2) + struct.pack(f"<{len(tokens)}i", *tokens)
        file += struct.pack(f"<{rows * vocabulary}f", *(0.5 * i for i in range(rows * vocabulary)))
        (logits / f"{vocabulary}x{context}").write_bytes(bytes([vocabulary - 1, context - 2]) + file)


if __name__ == "__main__":
    main()
