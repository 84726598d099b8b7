"""How `tern run` chooses tokens: temperature and cuts, penalties, biases, stop strings, log-probabilities."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import BuildModel, Compile
from models import ModelSpec
from programs import BIN, QUESTION, assert_input_error, greedy, run, succeed, tern_logits
from reference_sampler import assert_drawn_tokens


def test_sampling_options_have_their_effect(small_artifact: Path) -> None:
    def sample(*options: object) -> str:
        return succeed("tern", "run", small_artifact, "--tokens", "1,2", "-n", "24", *options).text

    hot = ["-t", "5", "--top-p", "1"]
    assert sample(*hot, "--seed", 1) == sample(*hot, "--seed", 1)
    assert sample(*hot, "--seed", 1) != sample(*hot, "--seed", 2)
    assert sample(*hot) == sample(*hot, "--seed", 0)
    assert sample(*hot) != sample("-t", "0")
    assert sample(*hot, "--top-k", 1) == sample("-t", "0")
    assert sample("-t", "5", "--top-p", "0.0001") == sample("-t", "0")
    assert sample(*hot, "--min-p", 1) == sample("-t", "0")
    assert sample(*hot, "--min-p", "0.9") != sample(*hot)


@pytest.mark.parametrize(
    "options",
    [{}, {"top_k": 20}, {"top_p": 0.7}, {"min_p": 0.2}, {"top_k": 100, "top_p": 0.9, "min_p": 0.05}],
    ids=str,
)
def test_a_seed_draws_the_tokens_of_a_second_implementation(
    small_artifact: Path, tmp_path: Path, options: dict[str, float]
) -> None:
    assert_drawn_tokens([str(BIN / "tern")], small_artifact, tmp_path, **options)


@pytest.mark.parametrize("option", ["--top-k=3", "--top-p=0.5", "--min-p=0.5", "--seed=7"])
def test_options_about_drawing_are_named_where_nothing_is_drawn(
    small_artifact: Path, home_assistant: Path, option: str
) -> None:
    command = ["run", small_artifact, "--tokens", "1,2", "-n", "24"]
    greedy = succeed("tern", *command, "-t", "0")
    assert greedy.err == ""
    assert succeed("tern", *command, "-t", "1.5", option).err == ""
    result = succeed("tern", *command, "-t", "0", option)
    name = option.split("=")[0]
    assert result.out == greedy.out
    assert result.err == f"tern: -t 0 always takes the most likely token; without effect: {name}\n"
    assert succeed("tern", "chat", home_assistant, "-t", "0", option).err == result.err
    several = succeed("tern", *command[:2], "-p", "a", "-p", "b", "-n", "1", "-t", "0", option)
    assert several.err == result.err
    assert_input_error(run("tern", "run", "none.tern", "-p", "a", "-t", "0", option), "none.tern")


def reference_choices(logits: np.ndarray, tokens: list[int], prompt: int, options: dict[str, float]) -> list[int]:
    """The greedy token after each prefix that ends at or behind the prompt, by the definitions in tern.h."""
    chosen = []
    for length in range(prompt, len(tokens)):
        x = logits[length - 1].astype(np.float64)
        for token, bias in options.get("biases", {}).items():
            x[token] += bias
        window = tokens[:length][-options["window"] :] if options["window"] else []
        for token in set(window):
            count = window.count(token)
            x[token] = x[token] / options["repeat"] if x[token] > 0 else x[token] * options["repeat"]
            x[token] -= count * options["frequency"] + options["presence"]
        chosen.append(int(np.argmax(x)))
    return chosen


@pytest.mark.parametrize(
    ("repeat", "frequency", "presence", "window", "biases"),
    [
        (1.0, 0.0, 0.0, 64, {}),
        (1.8, 0.0, 0.0, 64, {}),
        (1.0, 1.5, 0.0, 64, {}),
        (1.0, 0.0, 2.5, 5, {}),
        (1.3, 0.5, 0.75, 0, {}),
        (1.3, 0.5, 0.75, -1, {17: 3.5, 300: 2.25}),
        (1.0, -0.5, 0.0, 64, {}),
    ],
)
def test_penalties_and_biases_follow_their_definitions(
    repeat: float,
    frequency: float,
    presence: float,
    window: int,
    biases: dict[int, float],
    build_model: BuildModel,
    compile_gguf: Compile,
    tmp_path: Path,
) -> None:
    """Each token generated is the one that numpy chooses from the model's own logits."""
    artifact = compile_gguf(build_model(ModelSpec("no-tokenizer", tokenizer=False, chat_template=None)).path)
    prompt = [3, 4, 5, 3, 4, 6, 3]
    options: list[object] = ["--repeat-penalty", repeat, "--frequency-penalty", frequency]
    options += ["--presence-penalty", presence, *(f"--logit-bias={token}+{bias}" for token, bias in biases.items())]
    if (repeat, frequency, presence) != (1.0, 0.0, 0.0):
        options += ["--repeat-last-n", window]
    text = greedy(artifact, "--tokens", ",".join(map(str, prompt)), "-n", 40, *options)
    generated = [int(token) for token in text.split()]
    assert len(generated) == 40
    tokens = prompt + generated
    logits = tern_logits(artifact, tokens, tmp_path)
    definition = {"repeat": repeat, "frequency": frequency, "presence": presence, "biases": biases}
    definition["window"] = len(tokens) if window < 0 else window
    assert generated == reference_choices(logits, tokens, len(prompt), definition)


def test_excluded_tokens_do_not_come(home_assistant: Path) -> None:
    ids = succeed("tern", "tokenize", home_assistant, stdin=greedy(home_assistant, "-p", QUESTION, "--chat").encode())
    first = ids.text.split()[0]
    banned = greedy(home_assistant, "-p", QUESTION, "--chat", f"--logit-bias={first}-inf")
    assert succeed("tern", "tokenize", home_assistant, stdin=banned.encode()).text.split()[0] != first


def test_bias_tokens_are_in_the_vocabulary(small_artifact: Path) -> None:
    assert_input_error(run("tern", "run", small_artifact, "--tokens", "1", "--logit-bias", "503+1"), "503")


def test_stop_strings_end_the_text(home_assistant: Path) -> None:
    """Wherever a stop string lies across the tokens, the text ends before its first appearance."""
    whole = greedy(home_assistant, "-p", QUESTION, "--chat").rstrip("\n")
    for length in (1, 4, 11):
        for at in range(0, len(whole) - length, 9):
            stop = whole[at : at + length]
            shown = greedy(home_assistant, "-p", QUESTION, "--chat", "--stop", stop, "--stop", "never")
            assert shown == whole[: whole.index(stop)] + "\n", stop
    chat = succeed("tern", "chat", home_assistant, "-t", "0", "--stop", "light", stdin=QUESTION.encode())
    assert chat.text == whole[: whole.index("light")] + "\n"


def test_a_stop_string_that_does_not_come_changes_nothing(home_assistant: Path) -> None:
    whole = greedy(home_assistant, "-p", QUESTION, "--chat")
    assert greedy(home_assistant, "-p", QUESTION, "--chat", "--stop", whole.rstrip("\n") + "!") == whole


def test_log_probabilities_are_those_of_the_logits(small_artifact: Path, tmp_path: Path) -> None:
    prompt = [5, 6, 7]
    options = ["--tokens", "5,6,7", "-n", "12", "-t", "2", "--logprobs", "4", "--presence-penalty", "1"]
    lines = [json.loads(line) for line in succeed("tern", "run", small_artifact, *options).text.splitlines()]
    tokens = [line["token"] for line in lines[:-1]]
    assert len(tokens) == 12 and lines[-1]["finish"] == "max_tokens" and lines[-1]["text"]
    logits = tern_logits(small_artifact, prompt + tokens, tmp_path).astype(np.float64)
    for row, line in zip(logits[len(prompt) - 1 :], lines[:-1], strict=False):
        reference = row - np.log(np.exp(row - row.max()).sum()) - row.max()
        assert abs(line["logprob"] - reference[line["token"]]) < 1e-5
        assert [entry["token"] for entry in line["top"]] == list(np.argsort(-row, kind="stable")[:4])
        assert all(abs(entry["logprob"] - reference[entry["token"]]) < 1e-5 for entry in line["top"])
        ids = " ".join(str(entry["token"]) for entry in line["top"][:1]).encode()
        assert line["top"][0]["text"].encode() == succeed("tern", "detokenize", small_artifact, stdin=ids).out
    plain = succeed("tern", "run", small_artifact, *options[:6], "--presence-penalty", "1").text
    assert lines[-1]["text"] + "\n" == plain
