"""`relay usage`: what calls used and cost, from the store."""

import argparse
import asyncio
import json
import sqlite3
from collections.abc import Iterator
from datetime import date
from typing import Any, Final, Protocol, get_args

import msgspec

from relay.cli.console import fail, plain, say
from relay.config import Settings, SettingsError, local_settings, project_of
from relay.realtime.billing.usage import Usage
from relay.stores.costs import By, CostRow, UsageReport
from relay.stores.rows import iso_day
from relay.stores.sqlite.reader import SqliteReader
from relay.stores.supabase.admin import SupabaseAdmin, TooMuch
from relay.stores.supabase.errors import DatabaseError

HELP = "print what calls used and cost: tokens, minutes and dollars"
EXAMPLE = "relay usage --by user --since 2026-11-01"
_NONE_YET: Final = "nothing has been said yet; start `relay dev` in this folder and talk"
_HEAD: Final = "calls", "minutes", "tokens in", "cached", "tokens out", "dollars", "$/minute"
_EPOCH: Final = date(1970, 1, 1)


class UsageReader(Protocol):
    """What is asked of a store here."""

    async def costs(self, by: By, since: int) -> UsageReport:
        """Sums from a UTC day on."""

    async def aclose(self) -> None:
        """Let go of it."""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--by", choices=get_args(By), default="day", help="default: day")
    parser.add_argument(
        "--since", type=_day, default=0, metavar="YYYY-MM-DD", help="from this UTC day on"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, in micro-dollars")


def run(given: argparse.Namespace) -> int:
    """Print it; exit code 1 where there is no store."""
    try:
        settings = local_settings()
    except SettingsError as error:
        fail(*error.problems)
    try:
        report = asyncio.run(_read(settings, given))
    except FileNotFoundError:
        fail(_NONE_YET)
    except sqlite3.Error as error:
        fail(f"{settings.relay_data_dir / 'relay.db'} cannot be read: {error}")
    except TooMuch:
        fail("there are too many calls for one report: name a later day with --since")
    except DatabaseError as trouble:
        fail(f"the project's database cannot be read: {type(trouble).__name__}")
    if given.json:
        say(json.dumps(_plain(report, given.since), ensure_ascii=False))
    else:
        for line in _table(report):
            say(line)
    return 0


def _ledger(settings: Settings) -> UsageReader:
    """Of the store that these settings name."""
    project = project_of(settings)
    if project is None:
        return SqliteReader(settings.relay_data_dir / "relay.db")
    from relay.stores.supabase.client import RestClient  # noqa: PLC0415

    return SupabaseAdmin(RestClient(project))


async def _read(settings: Settings, given: argparse.Namespace) -> UsageReport:
    reader = _ledger(settings)
    try:
        return await reader.costs(given.by, given.since)
    finally:
        await reader.aclose()


def _day(text: str) -> int:
    """A UTC day since 1970; ValueError is argparse's to tell."""
    return (date.fromisoformat(text) - _EPOCH).days


def _sorted(report: UsageReport) -> list[tuple[str, CostRow]]:
    """Days in their order, all else the dearest first."""
    if report.by == "day":
        return [(iso_day(int(day)), report.costs[day]) for day in sorted(report.costs)]
    named = [(str(name), cost) for name, cost in report.costs.items()]
    return sorted(named, key=lambda one: (-one[1].micro, one[0]))


def _plain(report: UsageReport, since: int) -> dict[str, Any]:
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


def _table(report: UsageReport) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [(report.by, *_HEAD)]
    rows += [(plain(name), *_cells(cost)) for name, cost in _sorted(report)]
    rows.append(("total", *_cells(report.total)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for name, *cells in rows:
        right = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join((name.ljust(widths[0]), *right))
    yield from _remarks(report.total)


def _cells(cost: CostRow) -> tuple[str, ...]:
    usage: Usage = cost.usage
    each = cost.micro_per_minute
    tokens = usage.input_tokens, usage.cached_tokens, usage.output_tokens
    return (
        str(len(cost.sessions)),
        f"{cost.seconds / 60:.1f}",
        *map(str, tokens),
        f"{cost.micro / 1e6:.4f}" + (" + ?" if cost.unpriced else ""),
        "unknown" if each is None else f"{each / 1e6:.4f}",
    )


def _remarks(total: CostRow) -> Iterator[str]:
    if total.unpriced:
        names = plain(", ".join(sorted(total.unpriced)))
        yield f"?  unknown: no price was known for {names}"
    if total.unended:
        count = len(total.unended)
        calls = "1 call has" if count == 1 else f"{count} calls have"
        yield f"{calls} no end yet: without minutes, and not in $/minute"
