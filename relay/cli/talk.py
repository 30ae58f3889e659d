"""`relay talk`: speaks a recording or the microphone through a relay, and plays the answer."""

import argparse
import asyncio
import json
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Final

from relay.app import page_token
from relay.cli.console import CliCommand, fail, load_or_fail, plain, say
from relay.config import SettingsError, dev_settings, local_settings, way_out_of
from relay.egress import use
from relay.talk.client import HeardReply, TalkFailed, VoiceClient, chunks_of, microphone
from relay.talk.loudspeaker import loudspeaker
from relay.talk.wav import RATE, BadWav, read_wav, write_wav


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        metavar="FILE.wav",
        help="what to say; - is the microphone (wear headphones: it hears the answer, too)",
    )
    parser.add_argument("--url", help="the relay's socket; default: the one on this machine")
    parser.add_argument("--token", help="the caller's token; default: a development token")
    parser.add_argument("--save", type=Path, metavar="REPLY.wav", help="write the answer there")
    parser.add_argument("--json", action="store_true", help="print JSON, play nothing")


def _run(given: argparse.Namespace) -> int:
    """Talk; exit code 1 when nothing was understood or answered, or an answer failed."""
    if given.save is not None and not given.save.absolute().parent.is_dir():
        fail(f"--save: there is no folder {given.save.absolute().parent}", code=2)
    try:
        pcm = b"" if given.file == "-" else read_wav(Path(given.file))
    except BadWav as bad:
        fail(str(bad), code=2)
    with suppress(SettingsError):  # they matter only where they are needed, below
        use(way_out_of(local_settings()))
    url, token = _address(given)
    chunks = microphone() if given.file == "-" else chunks_of(pcm)
    with nullcontext(None) if given.json else loudspeaker() as player:
        client = VoiceClient(_ignore_line if given.json else _print_line, player=player)
        try:
            heard = asyncio.run(client.run(url, token, chunks))
        except TalkFailed as failed:
            fail(str(failed))
        except KeyboardInterrupt:
            heard = client.heard
    return _report(heard, given)


TALK: Final = CliCommand(
    name="talk",
    help="speak a WAV file (or the microphone, -) through a relay, and hear the answer",
    example="relay talk --save reply.wav docs/hello.wav",
    options=_options,
    run=_run,
)


def _address(given: argparse.Namespace) -> tuple[str, str]:
    """The URL and the token; the settings of this folder supply what was not given."""
    if given.url is not None and given.token is not None:
        return given.url, given.token
    settings = load_or_fail(dev_settings).settings
    url = given.url or f"ws://127.0.0.1:{settings.port}/v1/realtime"
    return url, given.token or page_token(settings)


def _print_line(speaker: str, text: str) -> None:
    say(f"{speaker + ':':7}{plain(text)}")


def _ignore_line(speaker: str, text: str) -> None:
    """Print nothing: the JSON at the end has every line."""


def _report(heard: HeardReply, given: argparse.Namespace) -> int:
    if given.save is not None and heard.audio:
        try:
            write_wav(given.save, bytes(heard.audio))
        except OSError as error:
            fail(f"{given.save}: {error.strerror}")
    seconds = len(heard.audio) / (2 * RATE)
    if given.json:
        lines = [{"speaker": speaker, "text": text} for speaker, text in heard.lines]
        summary = {"lines": lines, "errors": heard.errors, "failure": heard.failure}
        times = {"answer_seconds": round(seconds, 3), "first_audio_ms": heard.first_audio_ms}
        say(json.dumps(summary | times))
    elif heard.audio:
        saved = f", saved to {given.save}" if given.save is not None else ""
        say(f"{seconds:.1f} s of answer{saved}")
    if heard.failure:
        fail(f"the answer failed: {plain(heard.failure)}")
    if not heard.audio and all(speaker == "you" for speaker, _ in heard.lines):
        understood = bool(heard.lines)
        fail("no answer" if understood else "nothing came back; is there speech in the recording?")
    return 0
