"""Reads a script for the simulator: a TOML file of inputs, answers, the pace and faults."""

import difflib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from relay.engines.cascade.outputs import Pace
from relay.parts.interfaces import FunctionCall, Interleaving, McpCall, Output, Reply, SpokenMessage
from relay.parts.simple import Script
from relay.simulator.faults.plan import MODES, NO_FAULTS, Fault, Faults, impossible_condition
from relay.simulator.faults.tracking import Seconds

MAX_BYTES = 1 << 20
"""The largest script that is read."""

_MESSAGE = re.compile(r"^(?P<error>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_UNKNOWN = re.compile(r"unknown field `(.+)`$")

Positive = Annotated[float, Meta(gt=0, le=100_000)]


class BadScript(ValueError):  # noqa: N818 - it is the script's fault, not the program's
    """A script that cannot be used; the text is one line that says where it is wrong."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """The contents of a script; `script` and `pace` are None where it sets neither."""

    faults: Faults = NO_FAULTS
    script: Script | None = None
    pace: Pace | None = None


def load(path: Path) -> Scenario:
    """Read a script file; raises OSError, and BadScript with one line that names the place."""
    with path.open("rb") as file:
        head = file.read(MAX_BYTES + 1)
    if len(head) > MAX_BYTES:
        raise BadScript(f"{path.name}: longer than {MAX_BYTES} bytes")
    try:
        return parse(head.decode())
    except UnicodeDecodeError as error:
        raise BadScript(f"{path.name}: not UTF-8 text") from error
    except BadScript as error:
        raise BadScript(f"{path.name}{error}") from error


def parse(text: str) -> Scenario:
    """Read a script's text; raises BadScript, whose text begins with the place, without a file."""
    try:
        file = msgspec.convert(tomllib.loads(text), _File)
    except tomllib.TOMLDecodeError as error:
        raise BadScript(f": {error}") from error
    except msgspec.ValidationError as error:
        raise BadScript(locate_error(text, _with_suggestion(str(error)))) from error
    mistake = _mistake(file)
    if mistake is not None:
        raise BadScript(locate_error(text, mistake))
    return Scenario(Faults(tuple(file.fault), file.seed), _script(file), _pace(file.pace))


class _Pace(Struct, frozen=True, forbid_unknown_fields=True):
    burst: Positive = 5.0
    text_seconds: Seconds = 0.01
    delay_seconds: Seconds = 0.0


class _Output(Struct, frozen=True, forbid_unknown_fields=True):
    say: str | None = None
    phase: str | None = None
    call: str | None = None
    arguments: dict[str, Any] | str = "{}"
    server: str | None = None
    gives: str = ""
    error: str | None = None


class _Reply(Struct, frozen=True, forbid_unknown_fields=True):
    say: str | None = None
    outputs: Annotated[list[_Output], Meta(max_length=64)] = []
    weave: Interleaving = "overlapping"


class _Tool(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    description: str = ""
    input_schema: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "object"})


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    seed: int = 0
    pace: _Pace | None = None
    heard: Annotated[list[str], Meta(min_length=1)] | None = None
    reply: list[_Reply] = []
    aside: list[_Reply] = []
    mcp: dict[str, list[_Tool]] = {}
    fault: list[Fault] = []


def _pace(pace: _Pace | None) -> Pace | None:
    return None if pace is None else Pace(pace.burst, pace.text_seconds, pace.delay_seconds)


def _script(file: _File) -> Script | None:
    if file.heard is None and not file.reply:
        return None
    default = Script()
    return Script(
        heard=file.heard or default.heard,
        replies=[_reply(reply) for reply in file.reply] or default.replies,
        asides=[_reply(reply) for reply in file.aside],
        servers={label: [msgspec.to_builtins(t) for t in ts] for label, ts in file.mcp.items()},
    )


def _reply(reply: _Reply) -> Reply:
    if reply.say is not None:
        return Reply((SpokenMessage(reply.say),))
    return Reply(tuple(_output(output) for output in reply.outputs), reply.weave)


def _output(output: _Output) -> Output:
    if output.call is None:
        return SpokenMessage(output.say or "", output.phase)
    if output.server is None:
        return FunctionCall(output.call, output.arguments)
    return McpCall(output.server, output.call, output.arguments, output.gives, output.error)


def _with_suggestion(message: str) -> str:
    """Return the message, for an unknown fault with the one that is spelt most like it."""
    unknown = re.match(r"Invalid value '(.*)'( - at `.*\.mode`)$", message)
    if unknown is None:
        return message
    name, at = unknown.groups()
    like = difflib.get_close_matches(name, MODES, n=1)
    hint = f"did you mean '{like[0]}'?" if like else "docs/simulator.md lists all"
    return f"unknown fault '{name}'; {hint}{at}"


def _mistake(file: _File) -> str | None:
    """Return a mistake that the types allow, with its place; None where there is none."""
    for index, fault in enumerate(file.fault):
        if (impossible := impossible_condition(fault)) is not None:
            return f"{impossible} - at `$.fault[{index}].only`"
    for name, replies in (("reply", file.reply), ("aside", file.aside)):
        for index, reply in enumerate(replies):
            place = f"$.{name}[{index}]"
            if (reply.say is None) == (not reply.outputs):
                return f"either `say` or `outputs` must be there - at `{place}`"
            if any((output.say is None) == (output.call is None) for output in reply.outputs):
                return f"each has either `say` or `call` - at `{place}.outputs`"
    return None


# ------------------------------------------------------------------------ the place of a mistake


def locate_error(text: str, message: str) -> str:
    """Return a validation error with the line and the key in place of its path.

    `message` ends in a path such as "at `$.fault[0].seconds`"; without one it has no place.
    """
    found = _MESSAGE.match(message)
    error, path = (found["error"], found["path"] or "") if found else (message, "")
    steps = [name or int(index) for name, index in _STEP.findall(path)]
    unknown = _UNKNOWN.search(error)
    line = _line(text, [*steps, unknown[1]] if unknown else steps)
    named = ".".join(str(step + 1) if isinstance(step, int) else step for step in steps)
    place = "" if line is None else f", line {line}"
    return f"{place}: {named}: {error}" if named else f"{place}: {error}"


def _line(text: str, steps: list[str | int]) -> int | None:
    lines = text.splitlines()
    first, last, best = 0, len(lines), None
    for index, step in enumerate(steps):
        if isinstance(step, int):
            continue
        following = steps[index + 1] if index + 1 < len(steps) else None
        nth = following if isinstance(following, int) else 0
        header = _nth(lines, rf"\s*\[\[?\s*([\w.-]+\.)?{re.escape(step)}\s*\]", first, last, nth)
        if header is not None:
            first, last, best = header, _end(lines, header, step), header
            continue
        key = _nth(lines, rf".*(^|[\s,{{]){re.escape(step)}\s*=", first, last, 0)
        if key is not None:
            first = best = key
    return None if best is None else best + 1


def _nth(lines: list[str], pattern: str, first: int, last: int, nth: int) -> int | None:
    matches = [i for i in range(first, last) if re.match(pattern, lines[i])]
    return matches[nth] if nth < len(matches) else None


def _end(lines: list[str], header: int, name: str) -> int:
    """Return the line after a table: the next header that is not of a table within it."""
    within = re.compile(rf"\s*\[\[?\s*([\w.-]+\.)?{re.escape(name)}\.")
    for index in range(header + 1, len(lines)):
        if re.match(r"\s*\[[\[\w\s\"']", lines[index]) and not within.match(lines[index]):
            return index
    return len(lines)
