"""A script for the simulator, from TOML: what is heard and said, how fast, and what goes wrong."""

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
from relay.simulator.faults.plan import MODES, NO_FAULTS, Fault, Faults, senseless
from relay.simulator.faults.tracking import Seconds

# ---- Where a script is wrong: the line and the key behind a complaint about its values.

_COMPLAINT = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_UNKNOWN = re.compile(r"unknown field `(.+)`$")


class BadScript(ValueError):  # noqa: N818 - it is the script's fault, not the program's
    """A script that cannot be used; its text is one line that says where it is wrong."""


def complaint(text: str, message: str) -> str:
    """Return what is wrong and where, from a message that ends in "at `$.fault[0].seconds`"."""
    found = _COMPLAINT.match(message)
    what, path = (found["what"], found["path"] or "") if found else (message, "")
    steps = [name or int(index) for name, index in _STEP.findall(path)]
    unknown = _UNKNOWN.search(what)
    line = _line(text, [*steps, unknown[1]] if unknown else steps)
    named = ".".join(str(step + 1) if isinstance(step, int) else step for step in steps)
    place = "" if line is None else f", line {line}"
    return f"{place}: {named}: {what}" if named else f"{place}: {what}"


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
    """Return the line behind a table: the next header that is not of a table within it."""
    within = re.compile(rf"\s*\[\[?\s*([\w.-]+\.)?{re.escape(name)}\.")
    for index in range(header + 1, len(lines)):
        if re.match(r"\s*\[[\[\w\s\"']", lines[index]) and not within.match(lines[index]):
            return index
    return len(lines)


MAX_BYTES = 1 << 20
"""The largest script that is read."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a script says; `script` and `pace` are None where it says nothing of them."""

    faults: Faults = NO_FAULTS
    script: Script | None = None
    pace: Pace | None = None


def load(path: Path) -> Scenario:
    """Read a script; raises `BadScript` with one line that says where it is wrong, and OSError."""
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
    """Read a script's text; raises `BadScript`, which then begins with the place alone."""
    try:
        told = msgspec.convert(tomllib.loads(text), _File)
    except tomllib.TOMLDecodeError as error:
        raise BadScript(f": {error}") from error
    except msgspec.ValidationError as error:
        raise BadScript(complaint(text, _kindly(str(error)))) from error
    wrong = _wrong(told)
    if wrong is not None:
        raise BadScript(complaint(text, wrong))
    return Scenario(Faults(tuple(told.fault), told.seed), _script(told), _pace(told.pace))


Positive = Annotated[float, Meta(gt=0, le=100_000)]


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


def _pace(told: _Pace | None) -> Pace | None:
    return None if told is None else Pace(told.burst, told.text_seconds, told.delay_seconds)


def _script(told: _File) -> Script | None:
    if told.heard is None and not told.reply:
        return None
    plain = Script()
    return Script(
        heard=told.heard or plain.heard,
        replies=[_reply(reply) for reply in told.reply] or plain.replies,
        asides=[_reply(reply) for reply in told.aside],
        servers={label: [msgspec.to_builtins(t) for t in ts] for label, ts in told.mcp.items()},
    )


def _reply(told: _Reply) -> Reply:
    if told.say is not None:
        return Reply((SpokenMessage(told.say),))
    return Reply(tuple(_output(output) for output in told.outputs), told.weave)


def _output(told: _Output) -> Output:
    if told.call is None:
        return SpokenMessage(told.say or "", told.phase)
    if told.server is None:
        return FunctionCall(told.call, told.arguments)
    return McpCall(told.server, told.call, told.arguments, told.gives, told.error)


def _kindly(message: str) -> str:
    """Return the message, for a mode that does not exist with one that is spelt like it."""
    unknown = re.match(r"Invalid value '(.*)' - at `.*\.mode`$", message)
    if unknown is None:
        return message
    like = difflib.get_close_matches(unknown[1], MODES, n=1)
    hint = f"did you mean '{like[0]}'" if like else "docs/simulator.md lists them"
    return message.replace(" - at", f" is no fault: {hint} - at").replace("Invalid value ", "")


def _wrong(told: _File) -> str | None:
    """Return what no type can say is wrong, with its place; None when all is well."""
    for index, fault in enumerate(told.fault):
        if (limit := senseless(fault)) is not None:
            return f"{limit} - at `$.fault[{index}].only`"
    for name, replies in (("reply", told.reply), ("aside", told.aside)):
        for index, reply in enumerate(replies):
            place = f"$.{name}[{index}]"
            if (reply.say is None) == (not reply.outputs):
                return f"either `say` or `outputs` must be there - at `{place}`"
            if any((output.say is None) == (output.call is None) for output in reply.outputs):
                return f"each has either `say` or `call` - at `{place}.outputs`"
    return None
