"""The tern program: every subcommand and option, exit statuses, what goes to stdout and stderr."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import HOME_ASSISTANT, BuildModel, Compile
from gguf import GGMLQuantizationType as Type
from models import ModelSpec
from programs import BIN, Result, assert_input_error, assert_usage_error, run, succeed, tern_logits
from reference_sampler import assert_drawn_tokens

SUBCOMMANDS = ["run", "chat", "logits", "tokenize", "detokenize", "bench", "eval", "inspect", "verify"]
QUESTION = "dim the kitchen lights to 30 percent"


# ---- usage ----------------------------------------------------------------------------------------


def test_help_and_version_go_to_stdout() -> None:
    assert "running one is running a program" in succeed("tern", "--help").text
    assert succeed("tern", "--version").text.startswith("tern ")
    for name in SUBCOMMANDS:
        result = succeed("tern", name, "--help")
        assert "Usage: tern " + name in result.text and result.err == "", result


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["eval", "m.tern"],
        ["run"],
        ["run", "m.tern"],
        ["run", "m.tern", "-p", "a", "--tokens", "1"],
        ["run", "m.tern", "--tokens", "1", "--chat"],
        ["run", "m.tern", "extra", "-p", "a"],
        ["run", "m.tern", "-p", "a", "--stop", ""],
        ["run", "m.tern", "-p", "a", "--stop", "x" * 257],
        ["run", "m.tern", "-p", "a", *["--stop", "x"] * 17],
        ["chat", "m.tern", "--logprobs", "1"],
        ["run", "m.tern", "-p", "a", "--repeat-last-n", "8"],
        ["run", "m.tern", "-p", "a", "--keep", "8"],
        ["run", "m.tern", "-p", "a", "--prompts", "f"],
        ["run", "m.tern", "-p", "a", "-p", "b", "--logprobs", "1"],
        ["run", "m.tern", "-p", "a", "-p", "b", "--prompt-cache", "f"],
        ["run", "m.tern", "--prompts", "f", "--stats"],
        ["run", "m.tern", "-p", "a", "--prompt-cache", ""],
        ["chat", "m.tern", "--context-shift"],
        ["run", "m.tern", "-p", "a", "--require-key", "k"],
        ["logits", "m.tern", "-o", "x.npy"],
        ["logits", "m.tern", "--tokens", "1"],
        ["bench", "m.tern", "--kernels"],
        ["bench", "m.tern", "--trace", "f"],
        ["tokenize", "m.tern", "--threads", "2"],
        ["verify", "m.tern", "--require-key", "k"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert_usage_error(run("tern", *arguments), "--help")


@pytest.mark.parametrize(
    "option",
    [
        "--threads=0", "--threads=-1", "--threads=1025", "--threads=x", "--context=0", "--context=-5",
        "-t=-1", "-t=nan", "-t=inf", "-t=x", "--top-p=0", "--top-p=1.5", "--top-p=nan", "--top-k=-1",
        "--min-p=-0.1", "--min-p=1.1", "--min-p=nan", "--repeat-penalty=0", "--repeat-penalty=9e-7", "--repeat-penalty=inf",
        "--frequency-penalty=nan", "--presence-penalty=101", "--repeat-last-n=-2", "--logprobs=21", "--logprobs=-1", "--logit-bias=5", "--logit-bias=+1",
        "--logit-bias=5+", "--logit-bias=5+x", "--logit-bias=5+-1", "--logit-bias=5+inf", "--logit-bias=5+nan",
        "--logit-bias=-5+1", "--logit-bias=5+1e7",
        "-n=-1", "-n=1e3", "--seed=-1", "--seed=x", "--weights=fast", "--weights=stream:1G",
    ],
)  # fmt: skip
def test_option_values_out_of_range_exit_with_2(option: str) -> None:
    name = option.split("=")[0]
    assert_usage_error(run("tern", "run", "m.tern", "-p", "a", option), name)


@pytest.mark.parametrize("ids", ["x", "1,", ",1", "1,,2", "1;2", "1.5", "99999999999", "1 2"])
def test_malformed_token_lists_exit_with_2(ids: str) -> None:
    assert_usage_error(run("tern", "run", "m.tern", "--tokens", ids), "--tokens")
    assert_usage_error(run("tern", "logits", "m.tern", "-o", "x.npy", "--tokens", ids), "--tokens")


def test_streaming_weights_are_refused_with_a_reason() -> None:
    assert_usage_error(run("tern", "run", "m.tern", "-p", "a", "--weights=stream:1G"), "not implemented", "map")


# ---- files that are not artifacts ---------------------------------------------------------------------


READERS = [
    ["run", "-p", "a"],
    ["chat"],
    ["logits", "--tokens", "1", "-o", "x.npy"],
    ["tokenize"],
    ["detokenize"],
    ["bench"],
    ["eval", "--text", __file__],
    ["inspect"],
    ["verify"],
]


@pytest.mark.parametrize("arguments", READERS, ids=lambda arguments: arguments[0])
def test_unreadable_files_exit_with_1(arguments: list[str], tmp_path: Path) -> None:
    name, *options = arguments
    assert_input_error(run("tern", name, "none.tern", *options, cwd=tmp_path), "none.tern", "No such file")
    assert_input_error(run("tern", name, ".", *options, cwd=tmp_path), "not a regular file")
    (tmp_path / "empty.tern").touch()
    assert_input_error(run("tern", name, "empty.tern", *options, cwd=tmp_path), "empty.tern")
    (tmp_path / "text.tern").write_text("This is no artifact. " * 100)
    assert_input_error(run("tern", name, "text.tern", *options, cwd=tmp_path), "text.tern")
    assert not (tmp_path / "x.npy").exists()


def test_a_gguf_file_is_answered_with_what_to_do(small_gguf: Path) -> None:
    assert_input_error(run("tern", "run", small_gguf, "-p", "a"), "GGUF", "ternc")


# ---- run ------------------------------------------------------------------------------------------


def greedy(artifact: Path, *arguments: object) -> str:
    return succeed("tern", "run", artifact, "-t", "0", *arguments).text


def test_run_prints_only_the_continuation(home_assistant: Path) -> None:
    result = succeed("tern", "run", home_assistant, "-p", QUESTION, "--chat", "-t", "0")
    assert json.loads(result.text)["action"] == "set_brightness"
    assert result.text.endswith("}\n") and result.err == ""


def test_chat_flag_is_the_template_around_the_text(home_assistant: Path) -> None:
    raw = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    assert greedy(home_assistant, "-p", raw) == greedy(home_assistant, "-p", QUESTION, "--chat")
    assert greedy(home_assistant, "-p", QUESTION) != greedy(home_assistant, "-p", QUESTION, "--chat")


def test_tokens_and_text_are_the_same_prompt(home_assistant: Path) -> None:
    ids = succeed("tern", "tokenize", home_assistant, stdin=b"turn on").text.strip().replace(" ", ",")
    assert greedy(home_assistant, "--tokens", ids) == greedy(home_assistant, "-p", "turn on")


@pytest.mark.parametrize("prompt", ["-5 degrees", "--chat", "[a,b]", "%%", "a\nb", "'\"\\", "é😀"])
def test_any_text_can_be_a_prompt(prompt: str, home_assistant: Path) -> None:
    ids = succeed("tern", "tokenize", home_assistant, stdin=prompt.encode()).text.strip().replace(" ", ",")
    assert greedy(home_assistant, "-p", prompt, "-n", "4") == greedy(home_assistant, "--tokens", ids, "-n", "4")


def test_empty_prompts_are_refused(home_assistant: Path) -> None:
    assert_input_error(run("tern", "run", home_assistant, "-p", ""), "-p", "empty")
    assert_input_error(run("tern", "run", home_assistant, "-p", "", "--chat"), "-p", "empty")
    assert_input_error(run("tern", "run", home_assistant, "--tokens", ""), "--tokens", "empty")


def test_tokens_out_of_range_are_refused(small_artifact: Path, tmp_path: Path) -> None:
    for token in (503, -1, 2**31 - 1):
        assert_input_error(run("tern", "run", small_artifact, "--tokens", f"1,{token}"), str(token), "502")
        output = tmp_path / "x.npy"
        result = run("tern", "logits", small_artifact, "--tokens", f"1,{token}", "-o", output)
        assert_input_error(result, str(token))
        assert not output.exists()
        assert_input_error(run("tern", "detokenize", small_artifact, stdin=str(token).encode()), str(token))


def test_n_limits_the_tokens(small_artifact: Path) -> None:
    for count in (1, 5):
        result = succeed("tern", "run", small_artifact, "--tokens", "1", "-n", count, "-t", "0", "--stats")
        assert f"generated     {count} tokens" in result.err, result


def test_a_full_context_stops_with_a_notice(small_artifact: Path) -> None:
    result = succeed("tern", "run", small_artifact, "--tokens", "1,2,3", "-n", "0", "-t", "0", "--context", "16")
    assert "16 positions" in result.err and "--context" in result.err, result


def test_a_prompt_beyond_the_context_is_refused(small_artifact: Path) -> None:
    tokens = ",".join(["1"] * 17)
    assert_input_error(run("tern", "run", small_artifact, "--tokens", tokens, "--context", "16"), "17", "16")
    assert_input_error(
        run("tern", "logits", small_artifact, "--tokens", tokens, "--context", "16", "-o", "x.npy"), "17", "16"
    )


def test_a_context_beyond_the_model_is_refused(small_artifact: Path) -> None:
    assert_input_error(run("tern", "run", small_artifact, "--tokens", "1", "--context", "1025"), "1024")


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


def test_a_shifted_context_goes_on(small_artifact: Path) -> None:
    """The text behind the shift is that of a prompt made of what the shift keeps."""
    options = ["--context", "16", "-t", "0"]

    def tokens(result: str) -> list[int]:
        return [line["token"] for line in map(json.loads, result.splitlines()) if "token" in line]

    def run_tokens(prompt: list[int], *more: object) -> list[int]:
        ids = ",".join(map(str, prompt))
        return tokens(succeed("tern", "run", small_artifact, "--tokens", ids, "--logprobs", 0, *options, *more).text)

    whole = run_tokens([1, 2, 3], "-n", 20, "--context-shift", "--keep", "2")
    assert len(whole) == 20
    before = [1, 2, 3, *whole[:14]]  # 16 in the slot and one that needs the shift
    after = before[:2] + before[9:]
    assert run_tokens(after, "-n", 1) == whole[14:15]
    result = run("tern", "run", small_artifact, "--tokens", "1", *options, "--context-shift", "--keep", "16")
    assert_input_error(result, "16")


def reused(result: Result) -> list[int]:
    """Tokens reused, tokens of the prompt."""
    line = next(line for line in result.err.splitlines() if line.startswith("prompt cache"))
    return [int(word) for word in line.split() if word.isdigit()]


@pytest.mark.parametrize("kv", ["f16", "q8"])
def test_a_prompt_cache_saves_the_common_beginning(
    kv: str, compile_gguf: Compile, small_gguf: Path, tmp_path: Path
) -> None:
    artifact = compile_gguf(small_gguf, f"--kv={kv}")
    cache = tmp_path / "prompt"
    options = ["-t", "0", "-n", "8"]

    def generate(tokens: list[int]) -> Result:
        ids = ",".join(map(str, tokens))
        result = succeed("tern", "run", artifact, "--tokens", ids, "--stats", "--prompt-cache", cache, *options)
        assert result.out == succeed("tern", "run", artifact, "--tokens", ids, *options).out
        return result

    prompt = list(range(10, 110))
    assert reused(generate(prompt)) == [0, 100]
    first = cache.read_bytes()
    assert reused(generate(prompt)) == [99, 100]
    assert reused(generate(prompt[:60])) == [59, 60]
    assert cache.read_bytes() == first, "a cache that holds all of the prompt stays"
    assert reused(generate([*prompt[:70], 7, 8, 9])) == [70, 73]
    assert reused(generate(prompt)) == [70, 100], "the last prompt is kept"
    assert cache.read_bytes() == first
    assert list(tmp_path.iterdir()) == [cache]


def test_prompt_caches_that_do_not_fit_are_refused(
    small_artifact: Path, home_assistant: Path, small_gguf: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "prompt"
    command = ["run", small_artifact, "-n", "2", "--prompt-cache", cache]
    prompt = ["--tokens", ",".join(["5"] * 40)]
    succeed("tern", *command, *prompt)
    intact = cache.read_bytes()
    cache.write_bytes(intact[:5000] + bytes([intact[5000] ^ 1]) + intact[5001:])
    assert_input_error(run("tern", *command, *prompt), "prompt", "damaged", "delete it")
    cache.write_bytes(intact[:-1])
    assert_input_error(run("tern", *command, *prompt), "prompt", "ends early")
    cache.write_bytes(intact + b"x")
    assert_input_error(run("tern", *command, *prompt), "prompt", "appended")
    cache.write_bytes(b"a text of mine" * 10)
    assert_input_error(run("tern", *command, *prompt), "prompt", "not a saved slot")
    assert cache.read_bytes() == b"a text of mine" * 10
    cache.write_bytes(intact)
    assert_input_error(run("tern", "run", home_assistant, "-p", "a", "--prompt-cache", cache), "another model")
    assert_input_error(run("tern", *command, "--tokens", "1", "--context", "16"), "context")
    assert_input_error(run("tern", *command[:-1], tmp_path, *prompt), "regular")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert_input_error(run("tern", *command[:-1], pipe, *prompt), "pipe", "regular")
    assert_input_error(run("tern", *command[:-1], "/dev/zero", *prompt), "regular")
    assert pipe.is_fifo()
    assert_input_error(run("tern", *command[:-1], tmp_path / "none" / "x", *prompt), "No such file")


@pytest.mark.parametrize(
    "options", [["-t", "0"], ["-t", "1.2", "--seed", "7", "--stop", "e", "--repeat-penalty", "1.2"]]
)
def test_several_prompts_give_what_each_gives_alone(
    options: list[str], small_artifact: Path, home_assistant: Path, tmp_path: Path
) -> None:
    prompts = [f"turn on the {'very ' * count}bright light {count}" for count in (0, 1, 30, 2, 3, 4, 5, 6, 7, 8, 9)]
    file = tmp_path / "prompts"
    file.write_text("\n".join(prompts) + "\n")
    for artifact, more in ((small_artifact, []), (home_assistant, ["--chat"])):
        command = ["run", artifact, "-n", "12", *options, *more]
        alone = [succeed("tern", *command, "-p", prompt).text for prompt in prompts]
        result = succeed("tern", *command, "--prompts", file)
        lines = [json.loads(line) for line in result.text.splitlines()]
        assert [line["text"] + "\n" for line in lines] == alone
        assert [line["prompt"] for line in lines] == list(range(len(prompts)))
        assert all(
            len(line["tokens"]) <= 12 and line["finish"] in ("max_tokens", "end_token", "stop") for line in lines
        )
        repeated = [part for prompt in prompts for part in ("-p", prompt)]
        assert succeed("tern", *command, *repeated).text == result.text


def test_files_of_prompts_that_cannot_be_used(small_artifact: Path, tmp_path: Path) -> None:
    file = tmp_path / "prompts"
    command = ["run", small_artifact, "--prompts", file]
    assert_input_error(run("tern", *command), "prompts", "No such file")
    file.write_text("")
    assert_input_error(run("tern", *command), "no line")
    file.write_text("a\n\nb\n")
    assert_input_error(run("tern", *command), "line 2")
    assert_input_error(run("tern", "run", small_artifact, "-p", "a", "-p", ""), "-p", "empty")
    file.write_text("a\n" + "b " * 50)
    assert_input_error(run("tern", *command, "--context", "16"), "--context")


def test_threads_and_weights_do_not_change_the_text(home_assistant: Path) -> None:
    expected = greedy(home_assistant, "-p", QUESTION, "--chat")
    for options in (["--threads=1"], ["--threads=4"], ["--weights=map"], ["--weights=copy"], ["--weights=auto"]):
        assert greedy(home_assistant, "-p", QUESTION, "--chat", *options) == expected


def test_statistics_go_to_stderr(home_assistant: Path) -> None:
    plain = succeed("tern", "run", home_assistant, "-p", QUESTION, "--chat", "-t", "0")
    result = succeed("tern", "run", home_assistant, "-p", QUESTION, "--chat", "-t", "0", "--stats")
    assert result.out == plain.out
    for part in ("tokens/s", "first token", "P50", "P99", "peak", "private"):
        assert part in result.err, result


# ---- models without tokenizer or with an unknown template ------------------------------------------------


def test_an_unknown_template_stops_only_chat(build_model: BuildModel, compile_gguf: Compile) -> None:
    model = build_model(ModelSpec("unknown-template", chat_template="{{ raise_exception('no') }}"))
    artifact = compile_gguf(model.path)
    assert_input_error(run("tern", "run", artifact, "-p", "hello", "--chat"), "template", "-p")
    assert_input_error(run("tern", "chat", artifact, stdin=b"hello\n"), "template", "-p")
    succeed("tern", "run", artifact, "-p", "hello", "-n", "2")
    succeed("tern", "tokenize", artifact, stdin=b"hello")


def test_a_missing_tokenizer_stops_only_text(build_model: BuildModel, compile_gguf: Compile, tmp_path: Path) -> None:
    model = build_model(ModelSpec("no-tokenizer", tokenizer=False, chat_template=None))
    artifact = compile_gguf(model.path)
    assert_input_error(run("tern", "run", artifact, "-p", "hello"), "tokenizer")
    assert_input_error(run("tern", "run", artifact, "--tokens", "1", "--stop", "a"), "tokenizer")
    assert_input_error(run("tern", "run", artifact, "-p", "hello", "--chat"), artifact.name)
    assert_input_error(run("tern", "tokenize", artifact, stdin=b"hello"), "tokenizer")
    assert_input_error(run("tern", "detokenize", artifact, stdin=b"1"), "tokenizer")
    succeed("tern", "logits", artifact, "--tokens", "1", "-o", tmp_path / "x.npy")
    ids = succeed("tern", "run", artifact, "--tokens", "1", "-n", "3", "-t", "0").text
    assert len([int(token) for token in ids.split()]) == 3
    assert json.loads(succeed("tern", "inspect", artifact, "--json").text)["tokenizer"] is None


# ---- chat -----------------------------------------------------------------------------------------


def test_chat_answers_each_line(home_assistant: Path) -> None:
    result = succeed("tern", "chat", home_assistant, "-t", "0", stdin=f"{QUESTION}\n\nlock the front door\n".encode())
    answers = result.text.splitlines()
    assert len(answers) == 2 and result.err == "", result
    assert answers[0] + "\n" == greedy(home_assistant, "-p", QUESTION, "--chat")


def test_chat_remembers_the_conversation(home_assistant: Path) -> None:
    """The second answer is that to the whole conversation, not to its last line."""
    first = greedy(home_assistant, "-p", "hello", "--chat").rstrip("\n")
    raw = (
        f"<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n{first}<|im_end|>\n"
        f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    )
    result = succeed("tern", "chat", home_assistant, "-t", "0", stdin=f"hello\n{QUESTION}".encode())
    assert result.text.splitlines()[1] + "\n" == greedy(home_assistant, "-p", raw)


def test_chat_system_message_comes_first(small_artifact: Path) -> None:
    options = ["-t", "0", "-n", "12"]
    raw = "<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    result = succeed("tern", "chat", small_artifact, "--system", "Be brief", *options, stdin=b"hello\n")
    assert result.out == succeed("tern", "run", small_artifact, "-p", raw, *options).out


def test_chat_with_a_full_context_says_so(small_artifact: Path) -> None:
    result = run("tern", "chat", small_artifact, "--context", "8", stdin=b"a long message that cannot fit\n")
    assert_input_error(result, "--context")


def test_chat_prompts_on_a_terminal_only(home_assistant: Path) -> None:
    """Standard input is a terminal here: a message, then Ctrl-D."""
    keyboard, terminal = os.openpty()
    try:
        os.write(keyboard, f"{QUESTION}\n\x04".encode())
        command = [BIN / "tern", "chat", home_assistant, "-t", "0"]
        result = subprocess.run(command, stdin=terminal, capture_output=True, text=True, check=True)
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert result.stdout == greedy(home_assistant, "-p", QUESTION, "--chat")
    assert result.stderr.count("> ") == 2 and "Ctrl-D" in result.stderr


def test_interrupt_stops_an_answer_and_keeps_the_conversation(small_artifact: Path) -> None:
    """A random model never ends its answer; the first SIGINT ends the answer, the next the program."""
    command = [str(BIN / "tern"), "chat", str(small_artifact), "-t", "0", "--threads", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        assert os.read(process.stdout.fileno(), 1), "the answer has begun"
        process.send_signal(signal.SIGINT)
        process.stdin.write(b"again\n")
        process.stdin.close()
        process.stdout.read()
        assert process.wait() in (0, 1)  # 1: the second answer's prompt met a full context


# ---- logits and files that cannot be written ---------------------------------------------------------------


def test_logits_need_a_writable_place(small_artifact: Path, tmp_path: Path) -> None:
    command = ["logits", small_artifact, "--tokens", "1,2", "-o"]
    assert_input_error(run("tern", *command, tmp_path / "none" / "x.npy"), "x.npy", "No such file")
    assert_input_error(run("tern", *command, tmp_path), str(tmp_path))


def test_a_device_is_written_not_replaced(small_artifact: Path, full_device: Path) -> None:
    result = run("tern", "logits", small_artifact, "--tokens", "1,2", "-o", full_device)
    assert_input_error(result, str(full_device), "No space left")
    assert full_device.is_char_device()


def limit_file_size() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))


def test_a_failed_write_leaves_the_old_file(small_artifact: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.npy"
    output.write_bytes(b"old")
    command = ["logits", small_artifact, "--tokens", "1,2,3,4,5", "-o", output]
    assert_input_error(run("tern", *command, preexec=limit_file_size), "x.npy", "too large")
    assert output.read_bytes() == b"old" and list(tmp_path.iterdir()) == [output]
    succeed("tern", *command)
    assert np.load(output).shape == (5, 503) and list(tmp_path.iterdir()) == [output]


def test_standard_output_that_is_full_exits_with_1(home_assistant: Path, full_device: Path) -> None:
    for arguments in (["inspect"], ["run", "-p", "a"]):
        with full_device.open("wb") as full:
            result = subprocess.run(
                [BIN / "tern", *arguments, home_assistant],
                stdin=subprocess.DEVNULL,
                stdout=full,
                stderr=subprocess.PIPE,
                check=False,
            )
        assert result.returncode == 1, result
        assert result.stderr.count(b"\n") == 1 and b"standard output" in result.stderr, result


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_logits_leave_no_file(ending: signal.Signals, small_artifact: Path, tmp_path: Path) -> None:
    tokens = ",".join(["1"] * 1024)
    command: list[str | Path] = [BIN / "tern", "logits", small_artifact, "--tokens", tokens, "--threads=1"]
    command += ["-o", tmp_path / "x.npy"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        while not list(tmp_path.iterdir()) and process.poll() is None:
            pass
        process.send_signal(ending)
        assert process.wait() == -ending
    assert not list(tmp_path.iterdir())


# ---- tokenize, detokenize -----------------------------------------------------------------------------


def test_tokenize_and_detokenize_are_inverse(home_assistant: Path) -> None:
    text = ("  Turn on\tthe <lights> — please 😀\n\n" + "".join(map(chr, range(1, 600)))).encode()
    ids = succeed("tern", "tokenize", home_assistant, "--no-parse-special", stdin=text)
    assert ids.out.endswith(b"\n") and ids.out.count(b"\n") == 1
    assert succeed("tern", "detokenize", home_assistant, stdin=ids.out).out == text


def test_invalid_bytes_come_back_as_replacement_characters(home_assistant: Path) -> None:
    text = b"on \xff\xe2\x82 off \xf0\x9f"
    ids = succeed("tern", "tokenize", home_assistant, stdin=text)
    assert succeed("tern", "detokenize", home_assistant, stdin=ids.out).text == text.decode(errors="replace")


def test_tokenize_lines(home_assistant: Path) -> None:
    lines = ["turn on", "", "lock  the door", "é"]
    expected = b"".join(succeed("tern", "tokenize", home_assistant, stdin=line.encode()).out for line in lines)
    for text in ("\n".join(lines), "\n".join(lines) + "\n"):
        assert succeed("tern", "tokenize", home_assistant, "--lines", stdin=text.encode()).out == expected


def test_special_tokens_are_recognised_unless_told_otherwise(home_assistant: Path) -> None:
    special = succeed("tern", "tokenize", home_assistant, stdin=b"<|im_end|>").text.split()
    plain = succeed("tern", "tokenize", home_assistant, "--no-parse-special", stdin=b"<|im_end|>").text.split()
    assert len(special) == 1 and len(plain) > 1


def test_no_bos(build_model: BuildModel, compile_gguf: Compile) -> None:
    artifact = compile_gguf(build_model(ModelSpec("adds-bos", add_bos=True)).path)
    with_bos = succeed("tern", "tokenize", artifact, stdin=b"hello").text.split()
    assert with_bos[1:] == succeed("tern", "tokenize", artifact, "--no-bos", stdin=b"hello").text.split()


def test_detokenize_refuses_words(home_assistant: Path) -> None:
    assert_input_error(run("tern", "detokenize", home_assistant, stdin=b"1 two 3"), "'two'")
    assert succeed("tern", "detokenize", home_assistant, stdin=b" \n").out == b""


# ---- bench ----------------------------------------------------------------------------------------


def test_bench_json_has_the_promised_fields(home_assistant: Path, tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    options = ["--prompt", "20", "--generate", "10", "--runs", "2", "--threads", "2"]
    result = succeed("tern", "bench", home_assistant, *options, "--json", output)
    assert "tokens/s" in result.text
    report = json.loads(output.read_text())
    assert report["threads"] == 2
    for part, tokens in (("prompt", 20), ("generate", 10)):
        assert report[part]["tokens"] == tokens
        speed = report[part]["tokens_per_second"]
        assert 0 < speed["min"] <= speed["median"] <= speed["max"]
    latency = report["token_latency_ms"]
    assert 0 < latency["p50"] <= latency["p99"] <= latency["max"]
    for key in (
        "prompt_to_first_token_ms", "start_to_first_token_ms", "weight_bytes_per_token", "peak_resident_bytes",
        "peak_private_bytes",
    ):  # fmt: skip
        assert report[key] > 0, key
    assert report["peak_private_bytes"] <= report["peak_resident_bytes"]
    assert report["mapped_weight_bytes"] >= 0


def bench_json(artifact: Path, *options: object) -> dict:
    small = ["--prompt", "4", "--runs", "1", "--json", "-"]
    return json.loads(succeed("tern", "bench", artifact, *small, *options).text)


def test_bench_options(home_assistant: Path) -> None:
    assert bench_json(home_assistant, "--generate", "0")["token_latency_ms"] is None
    assert bench_json(home_assistant, "--weights=map")["mapped_weight_bytes"] > 0
    assert bench_json(home_assistant, "--weights=copy")["mapped_weight_bytes"] == 0
    assert bench_json(home_assistant, "--threads=1")["threads"] == 1
    assert bench_json(home_assistant, "--context=64")["context"] == 64
    assert_input_error(run("tern", "bench", home_assistant, "--prompt", "60", "--context", "64"), "--context")
    assert_usage_error(run("tern", "bench", home_assistant, "--prompt", "0"), "--prompt")
    assert_usage_error(run("tern", "bench", home_assistant, "--runs", "0"), "--runs")


# ---- inspect and verify ------------------------------------------------------------------------------


def test_inspect_describes_an_artifact(home_assistant: Path) -> None:
    report = json.loads(succeed("tern", "inspect", home_assistant, "--json").text)
    assert report["format"] == "tern" and report["file_bytes"] == home_assistant.stat().st_size
    assert report["vocabulary_size"] == 2048 and report["tokenizer"]["chat_template"] == "chatml"
    assert report["metadata"]["architecture"] == "llama"
    variant = report["variants"][0]
    assert variant["target"].startswith("x86_64-") and variant["features"] and variant["kernels"]
    assert sum(encoding["bytes"] for encoding in report["encodings"]) <= report["weight_bytes"]
    assert any(encoding["encoding"].startswith("ternary") for encoding in report["encodings"])
    text = succeed("tern", "inspect", home_assistant).text
    for part in ("target", "weights", "memory", "KV cache", "arena"):
        assert part in text


def test_a_cache_of_codes_takes_half_the_memory(home_assistant: Path, compile_gguf: Compile) -> None:
    def report(artifact: Path) -> dict:
        return json.loads(succeed("tern", "inspect", artifact, "--json").text)

    half, codes = report(home_assistant), report(compile_gguf(HOME_ASSISTANT, "--kv=q8"))
    head_size = half["kv_caches"][0]["head_size"]
    ratio = codes["memory"]["kv_bytes_per_token"] / half["memory"]["kv_bytes_per_token"]
    assert ratio == (head_size + 2) / (2 * head_size) < 0.55
    assert codes["memory"]["kv_bytes"] == pytest.approx(ratio * half["memory"]["kv_bytes"], rel=0.01)


def test_inspect_estimates_memory(home_assistant: Path) -> None:
    def memory(*options: str) -> dict:
        return json.loads(succeed("tern", "inspect", home_assistant, "--json", *options).text)["memory"]

    small, large = memory("--context=64"), memory("--context=512")
    assert large["kv_bytes"] - small["kv_bytes"] == 448 * large["kv_bytes_per_token"]
    assert large["private_bytes"] > small["private_bytes"]
    # program_bytes is measured and varies by a page; the rest is computed.
    one, four = memory("--threads=1"), memory("--threads=4")
    assert four["private_bytes"] - four["program_bytes"] >= one["private_bytes"] - one["program_bytes"]


def test_private_memory_is_within_the_estimate(home_assistant: Path) -> None:
    """Used to the last position, a session takes what inspect said, to 5 %."""
    estimate = json.loads(succeed("tern", "inspect", home_assistant, "--json", "--context=512", "--threads=2").text)[
        "memory"
    ]["private_bytes"]
    options = ["--context=512", "--threads=2", "--prompt=500", "--generate=12", "--runs=1", "--weights=map"]
    measured = json.loads(succeed("tern", "bench", home_assistant, *options, "--json", "-").text)
    assert abs(measured["peak_private_bytes"] - estimate) <= 0.05 * estimate


def test_inspect_describes_a_gguf_header() -> None:
    report = json.loads(succeed("tern", "inspect", HOME_ASSISTANT, "--json").text)
    assert report["format"] == "gguf" and report["metadata"]["general.architecture"] == "llama"
    assert report["types"]["tq2_0"]["tensors"] == 28
    assert sum(kind["tensors"] for kind in report["types"].values()) == len(report["tensors"])
    assert "general.architecture" in succeed("tern", "inspect", HOME_ASSISTANT).text


def test_inspect_reads_all_parts_of_a_split_file(build_model: BuildModel) -> None:
    split = build_model(ModelSpec("split", split_tensors=6))
    report = json.loads(succeed("tern", "inspect", split.path, "--json").text)
    assert len(report["parts"]) == 4 and len(report["tensors"]) == 21


def test_inspect_shows_types_per_tensor(build_model: BuildModel) -> None:
    spec = ModelSpec("types", hidden=96, feed_forward=160, head_size=32, matrix_type=Type.Q4_0)
    report = json.loads(succeed("tern", "inspect", build_model(spec).path, "--json").text)
    assert {tensor["type"] for tensor in report["tensors"]} == {"f32", "q4_0"}


def test_verify_accepts_an_intact_file(home_assistant: Path) -> None:
    assert "intact" in succeed("tern", "verify", home_assistant).text
