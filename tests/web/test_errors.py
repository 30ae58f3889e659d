"""Every ending of docs/protocol.md becomes a code for programs and sentences with advice."""

import pytest
from playwright.async_api import Page

from relay.realtime import endings
from tests.components import needs

pytestmark = [needs("chromium"), pytest.mark.asyncio(loop_scope="session")]

TELL = """async (ends) => {
  const { errorOfEnding } = await import("/client/errors.js");
  return ends.map((end) => errorOfEnding({ opened: true, url: "ws://x/y?agent_id=z", ...end }))
    .map(({ name, code, message, advice, retry, closeCode, closeReason }) => (
      { name, code, message, advice, retry, closeCode, closeReason }));
}"""

MICROPHONE = """async (names) => {
  const { errorOfMicrophone } = await import("/client/errors.js");
  return names.map((name) => errorOfMicrophone(new DOMException("", name)).code);
}"""

LATER = [
    (4009, "Replaced", "replaced"),
    (3000, "invalid_request_error.invalid_api_key", "unauthorized"),
    (1001, "Your session hit the maximum duration of 60 minutes.", "going_away"),
]
"""Endings that the relay does not use yet, and OpenAI's own."""

OTHERWISE = {
    "client_lost": "connection_lost",
    "client_left": "hung_up",
    "ended_by_coach": "hung_up",
    "too_many_frames": "too_many_requests",
    "too_many_from_address": "too_many_sessions",
    "too_many_reconnects": "too_many_requests",
}
"""Endings with another name in the client, which sees them from its own side."""

PASSES = {
    "client_lost",
    "connection_lost",
    "at_capacity",
    "auth_unavailable",
    "engine_closed",
    "engine_timed_out",
    "internal_error",
    "service_restart",
}
"""Temporary endings: the same call may succeed a moment later."""


async def tell(blank_page: Page, *ends: dict) -> list[dict]:
    return list(await blank_page.evaluate(TELL, list(ends)))


async def test_every_ending_has_its_own_code_and_sentences(blank_page):
    every = [(ending.code, ending.reason, ending.name) for ending in endings.ALL] + LATER
    told = await tell(blank_page, *[{"code": code, "reason": reason} for code, reason, _ in every])
    for (code, reason, name), error in zip(every, told, strict=True):
        assert error["code"] == OTHERWISE.get(name, name)
        assert (error["closeCode"], error["closeReason"]) == (code, reason)
        assert error["advice"], name
        assert error["message"].endswith("."), name
        assert reason == "" or reason not in error["message"]  # for people, not for programs


async def test_only_temporary_endings_are_retried(blank_page):
    told = await tell(blank_page, *[{"code": e.code, "reason": e.reason} for e in endings.ALL])
    retried = {e.name for e, error in zip(endings.ALL, told, strict=True) if error["retry"]}
    assert retried == PASSES


async def test_endings_that_share_a_close_code_are_distinguished(blank_page):
    shared = [
        endings.NO_PROVIDER_KEY,
        endings.ENGINE_CLOSED,
        endings.ENGINE_TIMED_OUT,
        endings.INTERNAL_ERROR,
        endings.MISSING_PARAMETERS,
        endings.UNAUTHORIZED,
        endings.TOKEN_EXPIRED,
        endings.TOKEN_TOO_LONG,
    ]
    told = await tell(blank_page, *[{"code": e.code, "reason": e.reason} for e in shared])
    assert len({error["message"] for error in told}) == len(shared)


async def test_unreachable_lost_and_silent_servers_are_distinguished(blank_page):
    lost, unreached, silent = await tell(
        blank_page,
        {"code": 1006, "reason": "", "opened": True},
        {"code": 1006, "reason": "", "opened": False},
        {"code": "silent", "reason": "", "opened": True},
    )
    assert (lost["code"], unreached["code"], silent["code"]) == (
        "connection_lost",
        "unreachable",
        "no_answer",
    )
    assert "ws://x/y" in unreached["message"]
    assert "agent_id" not in unreached["message"]


async def test_an_unknown_ending_is_shown_with_its_reason(blank_page):
    odd, said, bare = await tell(
        blank_page,
        {"code": 4777, "reason": "Odd"},
        {"code": 4777, "reason": "Odd", "said": "The moon is full."},
        {"code": 4777, "reason": ""},
    )
    assert (odd["code"], odd["message"]) == ("ended", "The call ended: Odd.")
    assert said["message"] == "The call ended: The moon is full."
    assert bare["message"] == "The call ended."


async def test_errors_of_the_microphone_are_distinguished(blank_page):
    names = ["NotAllowedError", "NotFoundError", "NotReadableError", "OddError"]
    assert await blank_page.evaluate(MICROPHONE, names) == [
        "microphone_denied",
        "no_microphone",
        "microphone_busy",
        "microphone_failed",
    ]
