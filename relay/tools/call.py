"""What a tool is given, what it may answer, and how its failures are told to the model."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

DONE: Final = '{"ok":true}'  # what the model reads when a tool had nothing to say

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
    """For whom a tool works. `user` is who called, verified; what the arguments say is not."""

    user: str
    agent: str
    conversation: str
    session: str


@dataclass(frozen=True, slots=True)
class ToolInvocation:
    """One call: `arguments` is the object that the model wrote, of whatever shape."""

    name: str
    call_id: str
    arguments: dict[str, Any]
    context: ToolContext


Action = Callable[[ToolInvocation], Awaitable[str]]
"""Carries out one call and returns what the model is told; raises `ToolFailed`."""


class ToolFailed(Exception):  # noqa: N818 - the model is told, and the session goes on
    """A tool gave no answer that can be used.

    `code` is one of the table here, `status` that of an HTTP answer, `cause` the type of what was
    raised; all three are safe to log, and the model is told the first two.
    """

    def __init__(self, code: str, *, status: int | None = None, cause: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.cause = cause

    @property
    def output(self) -> str:
        """What the model is told, so that it can speak of it: no address, no text of the tool's."""
        error: dict[str, Any] = {"code": self.code, "message": _MESSAGES[self.code]}
        if self.status is not None:
            error["status"] = self.status
        return msgspec.json.encode({"error": error}).decode()


class ToolMisconfigured(Exception):  # noqa: N818 - a mistake in what somebody wrote, told to them
    """A tool that cannot be carried out as it is written; the text says why, in one line."""


def arguments_of(written: str) -> dict[str, Any]:
    """The object that the model wrote, empty where it wrote nothing; raises `ToolFailed`."""
    try:
        arguments = msgspec.json.decode(written) if written.strip() else {}
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise ToolFailed("bad_arguments") from None
    if not isinstance(arguments, dict):
        raise ToolFailed("bad_arguments")
    return arguments
