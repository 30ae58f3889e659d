"""`relay transcript`: what was said, from the store."""

import argparse
import asyncio
import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime

import msgspec

from relay.commands.command import fail, plain, say
from relay.realtime.utterance import Record, Utterance
from relay.settings import SettingsError, local_settings
from relay.stores.sqlite_reader import SqliteReader

HELP = "print what was said in a conversation, the latest when none is named"
EXAMPLE = "relay transcript --follow"
_NONE_YET = "nothing has been said yet; start `relay dev` in this folder and talk"


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("conversation", nargs="?", metavar="CONVERSATION", help="its id")
    parser.add_argument("--follow", action="store_true", help="go on as words come, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(given: argparse.Namespace) -> int:
    """Print it; exit code 1 where there is no such conversation."""
    try:
        settings = local_settings()
    except SettingsError as error:
        fail(*error.problems)
    reader = SqliteReader(settings.relay_data_dir / "relay.db")
    try:
        asyncio.run(_print(reader, given))
    except FileNotFoundError:
        fail(_NONE_YET)
    except sqlite3.Error as error:
        fail(f"{settings.relay_data_dir / 'relay.db'} cannot be read: {error}")
    except KeyboardInterrupt:
        pass  # how one stops following
    return 0


async def _print(reader: SqliteReader, given: argparse.Namespace) -> None:
    try:
        conversation = given.conversation or await _latest(reader)
        if given.follow:
            async for record in reader.follow(conversation):
                _show([record], as_json=given.json)
            return
        records = await reader.transcript(conversation)
        if not records:
            fail(f"nobody has the conversation {conversation}")
        if not given.json:
            say(f"conversation {conversation}")
        _show(records, as_json=given.json)
    finally:
        await reader.aclose()


async def _latest(reader: SqliteReader) -> str:
    recent = await reader.recent(1)
    if not recent:
        fail(_NONE_YET)
    return recent[0].conversation_id


def _show(records: Sequence[Record], *, as_json: bool) -> None:
    for record in records:
        utterance = record.utterance
        if as_json:
            say(json.dumps(msgspec.to_builtins(record), ensure_ascii=False))
            continue
        at = datetime.fromtimestamp(utterance.created_at).astimezone().strftime("%H:%M:%S")
        say(f"{at}  {utterance.role + ':':11}{plain(_told(utterance))}")


def _told(utterance: Utterance) -> str:
    """What was heard of it, and that there was more."""
    if utterance.state == "final":
        return utterance.text
    unheard = utterance.text[len(utterance.heard_text) :].strip()
    more = f"  (not heard: {unheard})" if unheard else ""
    return f"{utterance.heard_text}  [{utterance.state}]{more}".strip()
