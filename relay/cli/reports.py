"""`relay transcript` and `relay usage`: transcripts and costs, read from the store."""

import argparse
import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Coroutine, Iterator, Sequence
from datetime import date, datetime
from typing import Any, Final, TypeVar, get_args

import msgspec

from relay.cli.console import CliCommand, fail, plain, say
from relay.cli.stores import file_and_setting, opened_store, store_settings
from relay.config import Settings
from relay.realtime.records import Record, Utterance
from relay.stores.costs import CostRow, GroupBy, UsageReport
from relay.stores.rows import iso_day
from relay.stores.sqlite.reports import SqliteReader
from relay.stores.supabase.admin import ReportTooLarge, SupabaseAdmin, SupabaseReader
from relay.stores.supabase.errors import DatabaseError

_NOTHING_SAID: Final = "nothing has been said yet; start `relay dev` in this folder and talk"
_COLUMNS: Final = (
    *("calls", "minutes", "tokens in", "cached", "tokens out", "characters", "speech min"),
    *("dollars", "$/minute"),
)
_EPOCH: Final = date(1970, 1, 1)
T = TypeVar("T")


# ------------------------------------------------------------------------------- relay transcript


def _transcript_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("conversation", nargs="?", metavar="CONVERSATION", help="its id")
    parser.add_argument(
        "--follow", action="store_true", help="keep printing what is said, until Ctrl-C"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def _run_transcript(given: argparse.Namespace) -> int:
    """Print it; exit code 1 where there is no such conversation."""
    settings = store_settings()
    with contextlib.suppress(KeyboardInterrupt):  # the way to stop following
        _read(settings, _print_transcript(settings, given))
    return 0


TRANSCRIPT: Final = CliCommand(
    name="transcript",
    help="print what was said in a conversation, the latest when none is named",
    example="relay transcript --follow",
    options=_transcript_options,
    run=_run_transcript,
)


async def _print_transcript(settings: Settings, given: argparse.Namespace) -> None:
    async with opened_store(settings, SqliteReader, SupabaseReader) as reader:
        conversation = given.conversation or await _latest(reader)
        if given.follow:
            async for record in reader.follow(conversation):
                _print_records([record], as_json=given.json)
            return
        records = await reader.transcript(conversation)
        if not records:
            fail(f"there is no conversation {conversation}")
        if not given.json:
            say(f"conversation {conversation}")
        _print_records(records, as_json=given.json)


async def _latest(reader: SqliteReader | SupabaseReader) -> str:
    recent = await reader.recent(1)
    if not recent:
        fail(_NOTHING_SAID)
    return recent[0]


def _print_records(records: Sequence[Record], *, as_json: bool) -> None:
    for record in records:
        utterance = record.utterance
        if as_json:
            say(json.dumps(msgspec.to_builtins(record), ensure_ascii=False))
            continue
        at = datetime.fromtimestamp(utterance.created_at).astimezone().strftime("%H:%M:%S")
        say(f"{at}  {utterance.role + ':':11}{plain(_marked(utterance))}")


def _marked(utterance: Utterance) -> str:
    """The text; of an interrupted utterance what was heard of it, then the rest."""
    if utterance.state == "final":
        return utterance.text
    unheard = utterance.text[len(utterance.heard_text) :].strip()
    rest = f"  (not heard: {unheard})" if unheard else ""
    return f"{utterance.heard_text}  [{utterance.state}]{rest}".strip()


# ------------------------------------------------------------------------------------ relay usage


def _usage_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--by",
        choices=get_args(GroupBy),
        default="day",
        help="one line for each of these; default: day",
    )
    parser.add_argument(
        "--since", type=_day, default=0, metavar="YYYY-MM-DD", help="from this UTC day on"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object, in micro-dollars"
    )


def _run_usage(given: argparse.Namespace) -> int:
    """Print it; exit code 1 where there is no store."""
    settings = store_settings()
    report = _read(settings, _costs(settings, given))
    if given.json:
        say(json.dumps(_as_json(report, given.since), ensure_ascii=False))
    else:
        for line in _table(report):
            say(line)
    return 0


USAGE: Final = CliCommand(
    name="usage",
    help="print what calls used and cost: tokens, characters, minutes and dollars",
    example="relay usage --by user --since 2026-11-01",
    options=_usage_options,
    run=_run_usage,
)


def _day(text: str) -> int:
    """A UTC day counted since 1970; argparse reports the ValueError."""
    return (date.fromisoformat(text) - _EPOCH).days


async def _costs(settings: Settings, given: argparse.Namespace) -> UsageReport:
    async with opened_store(settings, SqliteReader, SupabaseAdmin) as reader:
        return await reader.costs(given.by, given.since)


def _as_json(report: UsageReport, since: int) -> dict[str, Any]:
    lines = [{report.by: name} | _numbers(cost) for name, cost in _sorted(report)]
    first = iso_day(since) if since else None
    return {"by": report.by, "since": first, "lines": lines, "total": _numbers(report.total)}


def _numbers(cost: CostRow) -> dict[str, Any]:
    return {
        "calls": len(cost.sessions),
        "unended_calls": len(cost.unended),
        "seconds": round(cost.seconds, 3),
        "usage": msgspec.to_builtins(cost.usage),
        "micro": None if cost.unpriced else cost.micro,
        "known_micro": cost.micro,
        "unpriced": sorted(cost.unpriced),
        "micro_per_minute": cost.micro_per_minute,
    }


def _sorted(report: UsageReport) -> list[tuple[str, CostRow]]:
    """Days in their order, everything else by falling cost."""
    if report.by == "day":
        return [(iso_day(int(day)), report.costs[day]) for day in sorted(report.costs)]
    named = [(str(name), cost) for name, cost in report.costs.items()]
    return sorted(named, key=lambda one: (-one[1].micro, one[0]))


def _table(report: UsageReport) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [(report.by, *_COLUMNS)]
    rows += [(plain(name), *_cells(cost)) for name, cost in _sorted(report)]
    rows.append(("total", *_cells(report.total)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for name, *cells in rows:
        right = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join((name.ljust(widths[0]), *right))
    yield from _remarks(report.total)


def _cells(cost: CostRow) -> tuple[str, ...]:
    usage, per_minute = cost.usage, cost.micro_per_minute
    return (
        str(len(cost.sessions)),
        f"{cost.seconds / 60:.1f}",
        *map(str, (usage.input_tokens, usage.cached_tokens, usage.output_tokens)),
        str(usage.characters),
        f"{usage.milliseconds / 60_000:.1f}",
        f"{cost.micro / 1e6:.4f}" + (" + ?" if cost.unpriced else ""),
        "unknown" if per_minute is None else f"{per_minute / 1e6:.4f}",
    )


def _remarks(total: CostRow) -> Iterator[str]:
    if total.unpriced:
        names = plain(", ".join(sorted(total.unpriced)))
        yield f"?  unknown: no price was known for {names}"
    if total.unended:
        count = len(total.unended)
        calls = "1 call has" if count == 1 else f"{count} calls have"
        yield f"{calls} no end yet: without minutes, and not in $/minute"


# ------------------------------------------------------------------------------------------- both


def _read(settings: Settings, reading: Coroutine[Any, Any, T]) -> T:
    """The result of reading the store; exits with one line where it cannot be read."""
    try:
        return asyncio.run(reading)
    except FileNotFoundError:
        fail(_NOTHING_SAID)
    except (OSError, sqlite3.Error) as error:
        fail(f"{file_and_setting(settings)} cannot be read: {error}")
    except ReportTooLarge:
        fail("there are too many calls for one report: name a later day with --since")
    except DatabaseError as error:
        fail(f"the project's database cannot be read: {type(error).__name__}")
