"""`relay transcript`: what was said, from the store."""

import argparse
import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from relay.cli.console import fail, plain, say
from relay.config import Settings, SettingsError, local_settings, project_of
from relay.realtime.records import Record, Utterance
from relay.stores.sqlite.reader import SqliteReader
from relay.stores.supabase.admin import SupabaseReader
from relay.stores.supabase.errors import DatabaseError

HELP = "print what was said in a conversation, the latest when none is named"
EXAMPLE = "relay transcript --follow"
_NONE_YET = "nothing has been said yet; start `relay dev` in this folder and talk"


class StoredConversation(Protocol):
    """One of those there are."""

    @property
    def conversation_id(self) -> str:
        """Its id."""


class Reader(Protocol):
    """What is asked of a store here."""

    async def recent(self, limit: int) -> Sequence[StoredConversation]:
        """The conversations that were active last, newest first."""

    async def transcript(self, conversation_id: str) -> Sequence[Record]:
        """What was said, in conversation order."""

    def follow(self, conversation_id: str) -> AsyncIterator[Record]:
        """What was said so far, then what is stored from now on."""

    async def aclose(self) -> None:
        """Let go of it."""


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
    try:
        asyncio.run(_print(settings, given))
    except FileNotFoundError:
        fail(_NONE_YET)
    except sqlite3.Error as error:
        fail(f"{settings.relay_data_dir / 'relay.db'} cannot be read: {error}")
    except DatabaseError as trouble:
        fail(f"the project's database cannot be read: {type(trouble).__name__}")
    except KeyboardInterrupt:
        pass  # how one stops following
    return 0


def _reader(settings: Settings) -> Reader:
    """Of the store that these settings name."""
    project = project_of(settings)
    if project is None:
        return SqliteReader(settings.relay_data_dir / "relay.db")
    from relay.stores.supabase.client import RestClient  # noqa: PLC0415

    return SupabaseReader(RestClient(project))


async def _print(settings: Settings, given: argparse.Namespace) -> None:
    reader = _reader(settings)
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


async def _latest(reader: Reader) -> str:
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
