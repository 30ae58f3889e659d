"""A model that calls no tools has its questions looked up, and what is found is quoted."""

import json
from typing import Any

from relay.parts.interfaces import (
    CallOutput,
    FunctionCall,
    FunctionTool,
    MadeCall,
    Message,
    ReplyDelta,
    ReplyPiece,
    ReplyRequest,
)
from relay.parts.lookup import TOOL, LookupResponder, quotation
from relay.parts.topics import TopicResponder

SEARCH = FunctionTool(TOOL)
QUESTION = Message("user", "How long is the warranty of the kettle?")
PASSAGES = json.dumps({"passages": [{"text": "Two years. Keep the invoice. " + "More. " * 90}]})


async def said(request: ReplyRequest) -> list[ReplyPiece]:
    return [piece async for piece in LookupResponder(TopicResponder(None)).respond(request)]


async def test_a_question_is_looked_up() -> None:
    (call,) = await said(ReplyRequest((QUESTION,), tools=(SEARCH,)))

    assert isinstance(call, FunctionCall)
    assert call.name == TOOL
    assert json.loads(str(call.arguments)) == {"query": QUESTION.text}


async def test_what_was_found_is_quoted() -> None:
    looked_up = (QUESTION, MadeCall("c1", TOOL, "{}"), CallOutput("c1", PASSAGES))
    (answer,) = await said(ReplyRequest(looked_up, tools=(SEARCH,)))

    assert isinstance(answer, ReplyDelta)
    assert answer.text.startswith("Two years. Keep the invoice.")
    assert len(answer.text) <= 300


async def test_the_rest_is_answered_as_before() -> None:
    nothing = CallOutput("c1", json.dumps({"passages": []}))
    requests: list[dict[str, Any]] = [
        {"history": (QUESTION,)},
        {"history": (Message("user", "Thank you!"),), "tools": (SEARCH,)},
        {"history": (QUESTION, MadeCall("c1", TOOL, "{}"), nothing), "tools": (SEARCH,)},
        {"history": (QUESTION,), "tools": (SEARCH,), "tool_choice": "none"},
        {"history": (QUESTION,), "tools": (FunctionTool("other"),)},
    ]
    for request in requests:
        (answer,) = await said(ReplyRequest(**request))
        assert isinstance(answer, ReplyDelta)
        assert answer.text


def test_an_output_that_is_none_of_ours_is_not_quoted() -> None:
    for output in ("", "{}", "[]", "no json", '{"passages":[{}]}', '{"error":{"code":"failed"}}'):
        assert quotation(output) == ""
