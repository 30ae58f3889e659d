"""A responder that looks things up for a model which calls no tools, and quotes what it finds."""

import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from relay.parts.interfaces import (
    CallOutput,
    FunctionCall,
    HistoryEntry,
    Message,
    ReplyDelta,
    ReplyPiece,
    ReplyRequest,
    Responder,
    as_generator,
)

TOOL: Final = "search_knowledge"
FEWEST_WORDS: Final = 3
"""Of what is looked up: "yes" and "thank you" ask nothing."""
MOST_SPOKEN: Final = 300
"""Characters of a quotation."""
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+")


class LookupResponder:
    """A `Responder` that has `TOOL` called where a session has it, and `behind` answer the rest.

    A model as small as the packaged one makes up what it does not know: what was found is quoted.
    """

    def __init__(self, behind: Responder) -> None:
        self._behind = behind

    @property
    def name(self) -> str:
        """Return the name of the model behind."""
        return self._behind.name

    @property
    def calls_tools(self) -> bool:
        """Tell whether the model behind calls tools itself."""
        return bool(getattr(self._behind, "calls_tools", False))

    async def respond(self, request: ReplyRequest) -> AsyncGenerator[ReplyPiece]:
        """Yield a call of the tool, a quotation of its output, or what the model behind yields."""
        has_tool = any(tool.name == TOOL for tool in request.tools)
        last = request.history[-1] if request.history else None
        if has_tool and not self.calls_tools and not request.out_of_band:
            if _asks(last) and request.tool_choice != "none":
                query = json.dumps({"query": request.prompt}, ensure_ascii=False)
                yield FunctionCall(TOOL, query)
                return
            if isinstance(last, CallOutput) and (quoted := quotation(last.output)):
                yield ReplyDelta(quoted)
                return
            request = replace(request, tools=_others(request), history=_said(request.history))
        async with aclosing(as_generator(self._behind.respond(request))) as pieces:
            async for piece in pieces:
                yield piece


def quotation(output: str) -> str:
    """Return the beginning of the best passage in whole sentences, "" where there is none."""
    try:
        text = str(json.loads(output)["passages"][0]["text"])
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return ""
    quoted = ""
    for sentence in _SENTENCE.split(" ".join(text.split())):
        if quoted and len(quoted) + len(sentence) > MOST_SPOKEN:
            break
        quoted = f"{quoted} {sentence}".strip()
    return quoted[: 2 * MOST_SPOKEN]


def _asks(entry: HistoryEntry | None) -> bool:
    is_user = isinstance(entry, Message) and entry.role == "user"
    return is_user and len(entry.text.split()) >= FEWEST_WORDS  # type: ignore[union-attr]


def _others(request: ReplyRequest) -> tuple[Any, ...]:
    return tuple(tool for tool in request.tools if tool.name != TOOL)


def _said(history: tuple[HistoryEntry, ...]) -> tuple[HistoryEntry, ...]:
    """What was said, without calls of tools that the model does not know."""
    return tuple(entry for entry in history if isinstance(entry, Message))
