"""Whether a project's database is as the relay needs it, and whether its API has noticed."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from relay.check.finding import Finding, fail, ok, skip
from relay.check.hosted.asking import CHECK, Hosted
from relay.check.hosted.wanted import CALL_FUNCTIONS, CALL_TABLES, CHAT_TABLES, Names

NOT_FOUND: Final = ("PGRST202", "PGRST203", "PGRST204", "PGRST205")
"""Codes by which the API says that it knows no such function, column or table."""
MIGRATE: Final = "apply supabase/migrations: `relay migrate --apply postgres://…`"
RELOAD: Final = "run `notify pgrst, 'reload schema';` in the project's SQL editor"


@dataclass(frozen=True, slots=True)
class Schema:
    """What there is, by name."""

    tables: Names
    functions: Names


def described(hosted: Hosted) -> Schema:
    """As the API describes it: tables as it remembers them, functions as they are."""
    document = hosted.description.document if hosted.description is not None else {}
    paths = {name: way for name, way in document.get("paths", {}).items() if "/rpc/" in name}
    tables = (document.get("definitions") or {}).items()  # a new project has none
    return Schema(
        {name: frozenset(table.get("properties", ())) for name, table in tables},
        {name.rpartition("/")[2]: _arguments(way) for name, way in paths.items()},
    )


def _arguments(way: Mapping[str, Any]) -> frozenset[str]:
    bodies = (one.get("schema", {}) for one in way.get("post", {}).get("parameters", ()))
    return frozenset(name for body in bodies for name in body.get("properties", ()))


def standing(hosted: Hosted) -> Schema:
    """As the database itself says it, or the API where nobody has told that function to it yet."""
    if hosted.live is None:
        return described(hosted)
    tables, functions = hosted.live.get("tables") or {}, hosted.live.get("functions") or {}
    return Schema(
        {name: frozenset(table["columns"]) for name, table in tables.items()},
        {name: frozenset(arguments) for name, arguments in functions.items()},
    )


async def cache(hosted: Hosted) -> Finding:
    """Look whether the API knows what is in the database: it remembers the schema."""
    unknown = await _forgotten(hosted)
    if unknown:
        return fail(f"the project's API has not noticed {', '.join(unknown)}", RELOAD)
    return ok("the project's API knows its database")


async def _forgotten(hosted: Hosted) -> list[str]:
    """What the database has and the API does not know."""
    seen, there = described(hosted), standing(hosted)
    if hosted.live is None:
        if CHECK not in seen.functions:
            return []
        said = await hosted.call(CHECK, {})
        return [CHECK] if said.code in NOT_FOUND else []
    unknown = [name for name in there.tables if name not in seen.tables]
    unknown += _parts(there.tables, seen.tables)
    said = await hosted.call("voice_put", {"records": []})
    if said.code in NOT_FOUND and "voice_put" in there.functions:
        unknown.append("voice_put")
    return unknown


async def chat_tables(hosted: Hosted) -> Finding:
    """Look for the tables of the text chat."""
    if (untold := _untold(hosted)) is not None:
        return untold
    there = standing(hosted)
    missing = [name for name in CHAT_TABLES if name not in there.tables]
    if missing:
        mend = f"{MIGRATE}: 20261121000100_s3_tables.sql makes what is missing; is it this project?"
        return fail(f"the text chat's tables are missing: {', '.join(missing)}", mend)
    return ok(f"{len(CHAT_TABLES)} tables are there")


async def call_tables(hosted: Hosted) -> Finding:
    """Look for the relay's own tables and functions."""
    if (untold := _untold(hosted)) is not None:
        return untold
    there = standing(hosted)
    missing = [name for name in CALL_TABLES if name not in there.tables]
    missing += [f"{name}()" for name in CALL_FUNCTIONS if name not in there.functions]
    if missing:
        return fail(f"the relay's own are missing: {', '.join(missing)}", MIGRATE)
    return ok(f"{len(CALL_TABLES)} tables and {len(CALL_FUNCTIONS)} functions are there")


async def schema(hosted: Hosted) -> Finding:
    """Look whether all that is there has every column and argument."""
    if (untold := _untold(hosted)) is not None:
        return untold
    there = standing(hosted)
    old = [
        *_parts({**CHAT_TABLES, **CALL_TABLES}, there.tables),
        *(f"{name}()" for name in _old(CALL_FUNCTIONS, there.functions)),
    ]
    if old:
        return fail(f"the schema is of another version, without {', '.join(old)}", MIGRATE)
    said = await hosted.call("voice_put", {"records": []})
    if "voice_put" in there.functions and said.status != HTTPStatus.OK:
        return fail(f"voice_put() cannot be called: {said.code or said.status}", MIGRATE)
    return ok("columns and arguments are those of this relay")


def _untold(hosted: Hosted) -> Finding | None:
    """Nothing can be said of tables that the API has not noticed."""
    stale = hosted.live is None and CHECK in described(hosted).functions
    return skip("not before the project's API has noticed them") if stale else None


def _parts(wanted: Names, there: Names) -> list[str]:
    """Every `table.column` that is wanted and missing, of tables that are there."""
    return [
        f"{table}.{column}"
        for table in wanted
        if table in there
        for column in sorted(wanted[table] - there[table])
    ]


def _old(wanted: Names, there: Names) -> list[str]:
    return [name for name in wanted if name in there and wanted[name] - there[name]]
