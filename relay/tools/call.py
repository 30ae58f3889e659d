"""Tool calls: a tool's arguments, the bounds of its answer, failures as the model reads them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

DONE: Final = '{"ok":true}'  # the output of a tool that returned nothing

_MESSAGES: Final = {
    "bad_arguments": "The arguments are not a JSON object.",
    "busy": "Too many tools are at work. Try again later.",
    "failed": "The tool failed.",
    "http_error": "The tool answered with an error.",
    "not_there": "There is no such tool.",
    "timeout": "The tool did not answer in time.",
    "too_big": "The tool answered more than can be used.",
    "unreachable": "The tool cannot be reached.",
    "unreadable": "The tool's answer cannot be read.",
}


@dataclass(frozen=True, slots=True)
class ToolContext:
    """The session a tool is called in. `user` is verified, unlike anything in the arguments."""

    user: str
    agent: str
    conversation: str
    session: str


@dataclass(frozen=True, slots=True)
class ToolInvocation:
    """One call; `arguments` is the model's JSON object, not checked against the schema."""

    name: str
    call_id: str
    arguments: dict[str, Any]
    context: ToolContext


Action = Callable[[ToolInvocation], Awaitable[str]]
"""Runs one call and returns the output for the model; raises `ToolFailed`."""


class ToolFailed(Exception):  # noqa: N818 - the model is told, and the session goes on
    """A tool gave no usable answer.

    `code` is a key of `_MESSAGES`, `status` that of an HTTP answer, `cause` the type of what was
    raised. All three are safe to log; the model is told the first two.
    """

    def __init__(self, code: str, *, status: int | None = None, cause: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.cause = cause

    @property
    def output(self) -> str:
        """The output for the model, so that it can explain: no address, no text of the tool's."""
        error: dict[str, Any] = {"code": self.code, "message": _MESSAGES[self.code]}
        if self.status is not None:
            error["status"] = self.status
        return msgspec.json.encode({"error": error}).decode()


class ToolMisconfigured(Exception):  # noqa: N818 - a mistake in a file, reported to its author
    """A tool that cannot run as it is configured; the text says why, in one line."""


def parse_arguments(text: str) -> dict[str, Any]:
    """Parse the model's JSON object, empty if it wrote nothing; raises `ToolFailed`."""
    try:
        arguments = msgspec.json.decode(text) if text.strip() else {}
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise ToolFailed("bad_arguments") from None
    if not isinstance(arguments, dict):
        raise ToolFailed("bad_arguments")
    return arguments
