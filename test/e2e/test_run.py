"""`tern run`: prompts as text and as tokens, the context and its end, several prompts, statistics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from programs import QUESTION, assert_input_error, greedy, run, succeed


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
