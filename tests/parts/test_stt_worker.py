"""The decoding process: its messages, and how it begins and ends."""

import io
import os
import subprocess
import sys

import pytest

from relay.parts.stt_worker import LENGTH, read_message, serve, write_message
from tests.components import needs


class BrokenPipe(io.BytesIO):
    """What is left of a pipe when its reader is gone."""

    def write(self, _):
        raise BrokenPipeError


def messages(*bodies: bytes) -> io.BytesIO:
    pipe = io.BytesIO()
    for body in bodies:
        write_message(pipe, body)
    pipe.seek(0)
    return pipe


@pytest.mark.parametrize("body", [b"", b"words", bytes(100_000)])
def test_a_message_arrives_as_it_was_sent(body):
    pipe = messages(body, b"next")
    assert read_message(pipe) == body
    assert read_message(pipe) == b"next"
    assert read_message(pipe) is None


@pytest.mark.parametrize("rest", [b"", b"\0\0", LENGTH.pack(4), LENGTH.pack(4) + b"wor"])
def test_a_message_cut_short_means_that_the_other_end_is_gone(rest):
    assert read_message(io.BytesIO(rest)) is None


@needs("voice")
class TestServing:
    def test_every_turn_is_answered_until_the_other_end_is_gone(self):
        answers = io.BytesIO()
        serve(messages(bytes(48_000), b"", bytes(4_801)), answers)
        answers.seek(0)
        assert [read_message(answers) for _ in range(4)] == [b"", b"", b"", None]

    def test_it_ends_when_nobody_reads_its_answers(self):
        calls = messages(b"", b"never read")
        serve(calls, BrokenPipe())
        assert read_message(calls) == b"never read"


def run_process(parent: int, calls: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "relay.parts.stt_worker", str(parent)]
    return subprocess.run(command, input=calls, capture_output=True, timeout=60, check=False)


@needs("voice")
def test_the_process_ends_with_its_standard_input():
    child = run_process(os.getpid(), messages(b"").read())
    assert child.returncode == 0
    assert read_message(io.BytesIO(child.stdout)) == b""
    assert child.stderr == b""


def test_the_process_of_a_parent_that_is_gone_ends_at_once():
    child = run_process(1_000_000_000, messages(b"").read())
    assert (child.returncode, child.stdout, child.stderr) == (0, b"", b"")
