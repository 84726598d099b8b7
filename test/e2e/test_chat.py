"""`tern chat`: conversations through pipes and on a terminal, interrupts."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from programs import BIN, QUESTION, assert_input_error, greedy, run, succeed


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
