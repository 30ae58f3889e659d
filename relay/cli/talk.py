"""`relay talk`: speak a recording through a relay and hear the answer."""

import argparse
import asyncio
import json
from pathlib import Path

from relay.app import page_token
from relay.cli.console import fail, plain, say
from relay.config import SettingsError, dev_settings
from relay.talk.client import HeardReply, TalkFailed, VoiceClient, chunks_of, microphone
from relay.talk.wav import BadWav, read_wav, write_wav

HELP = "speak a WAV file (or the microphone, -) through a relay"
EXAMPLE = "relay talk --save reply.wav hello.wav"


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("file", metavar="FILE.wav", help="what to say; - is the microphone")
    parser.add_argument("--url", help="the relay's socket; this machine's when not given")
    parser.add_argument("--token", help="who is speaking; a development token when not given")
    parser.add_argument("--save", type=Path, metavar="REPLY.wav", help="keep the answer")
    parser.add_argument("--json", action="store_true", help="print the conversation as JSON")


def run(given: argparse.Namespace) -> int:
    """Talk; exit code 1 when nothing was understood or answered."""
    if given.save is not None and not given.save.absolute().parent.is_dir():
        fail(f"--save: there is no folder {given.save.absolute().parent}", code=2)
    try:
        pcm = b"" if given.file == "-" else read_wav(Path(given.file))
        url, token = _whither(given)
    except BadWav as bad:
        fail(str(bad), code=2)
    except SettingsError as error:
        fail(*error.problems)
    talk = VoiceClient(_quiet if given.json else _tell)
    chunks = microphone() if given.file == "-" else chunks_of(pcm)
    try:
        heard = asyncio.run(talk.run(url, token, chunks))
    except TalkFailed as failed:
        fail(str(failed))
    except KeyboardInterrupt:
        heard = talk.heard
    return _report(heard, given)


def _whither(given: argparse.Namespace) -> tuple[str, str]:
    """Address and token; the settings of this folder fill in what was not given."""
    if given.url is not None and given.token is not None:
        return given.url, given.token
    settings = dev_settings().settings
    url = given.url or f"ws://127.0.0.1:{settings.port}/v1/realtime"
    return url, given.token or page_token(settings)


def _tell(speaker: str, text: str) -> None:
    say(f"{speaker + ':':7}{plain(text)}")


def _quiet(speaker: str, text: str) -> None:
    """The JSON at the end says it."""


def _report(heard: HeardReply, given: argparse.Namespace) -> int:
    if given.save is not None and heard.audio:
        try:
            write_wav(given.save, bytes(heard.audio))
        except OSError as error:
            fail(f"{given.save}: {error.strerror}")
    seconds = len(heard.audio) / 48_000
    if given.json:
        lines = [{"speaker": speaker, "text": text} for speaker, text in heard.lines]
        told = {"lines": lines, "errors": heard.errors, "answer_seconds": round(seconds, 3)}
        say(json.dumps({**told, "first_audio_ms": heard.first_audio_ms}))
    elif heard.audio:
        kept = f", saved to {given.save}" if given.save is not None else ""
        say(f"{seconds:.1f} s of answer{kept}")
    if not heard.lines and not heard.audio:
        fail("nothing came back; is there speech in the recording?")
    return 0
