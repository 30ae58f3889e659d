"""Every ending of docs/protocol.md is a code for programs and sentences that say what to do."""

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
    (4029, "Too many requests", "too_many_requests"),
    (3000, "invalid_request_error.invalid_api_key", "unauthorized"),
    (1001, "Your session hit the maximum duration of 60 minutes.", "going_away"),
]
"""Endings that the relay does not have yet, and OpenAI's own."""

OTHERWISE = {
    "client_lost": "connection_lost",
    "client_left": "hung_up",
    "ended_by_coach": "hung_up",
}
"""What the client calls by another name: it sees a call end from its own side."""

PASSES = {
    "client_lost",
    "connection_lost",
    "at_capacity",
    "engine_closed",
    "engine_timed_out",
    "internal_error",
    "service_restart",
}
"""What may be over a moment later."""


async def tell(bench: Page, *ends: dict) -> list[dict]:
    return list(await bench.evaluate(TELL, list(ends)))


async def test_every_ending_of_the_table_has_its_own_code_and_words(bench):
    every = [(ending.code, ending.reason, ending.name) for ending in endings.ALL] + LATER
    told = await tell(bench, *[{"code": code, "reason": reason} for code, reason, _ in every])
    for (code, reason, name), error in zip(every, told, strict=True):
        assert error["code"] == OTHERWISE.get(name, name)
        assert (error["closeCode"], error["closeReason"]) == (code, reason)
        assert error["advice"], name
        assert error["message"].endswith("."), name
        assert reason == "" or reason not in error["message"]  # for people, not for programs


async def test_only_what_may_be_over_in_a_moment_is_tried_again(bench):
    told = await tell(bench, *[{"code": e.code, "reason": e.reason} for e in endings.ALL])
    retried = {e.name for e, error in zip(endings.ALL, told, strict=True) if error["retry"]}
    assert retried == PASSES


async def test_reasons_that_share_a_code_are_told_apart(bench):
    shared = [
        endings.NO_PROVIDER_KEY,
        endings.ENGINE_CLOSED,
        endings.ENGINE_TIMED_OUT,
        endings.INTERNAL_ERROR,
        endings.MISSING_PARAMETERS,
        endings.UNAUTHORIZED,
        endings.TOKEN_EXPIRED,
    ]
    told = await tell(bench, *[{"code": e.code, "reason": e.reason} for e in shared])
    assert len({error["message"] for error in told}) == len(shared)


async def test_never_reached_lost_and_silent_are_told_apart(bench):
    lost, unreached, silent = await tell(
        bench,
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


async def test_the_unknown_is_told_as_it_came(bench):
    odd, said, bare = await tell(
        bench,
        {"code": 4777, "reason": "Odd"},
        {"code": 4777, "reason": "Odd", "said": "The moon is full."},
        {"code": 4777, "reason": ""},
    )
    assert (odd["code"], odd["message"]) == ("ended", "The call ended: Odd.")
    assert said["message"] == "The call ended: The moon is full."
    assert bare["message"] == "The call ended."


async def test_what_a_microphone_can_lack_is_told_apart(bench):
    names = ["NotAllowedError", "NotFoundError", "NotReadableError", "OddError"]
    assert await bench.evaluate(MICROPHONE, names) == [
        "microphone_denied",
        "no_microphone",
        "microphone_busy",
        "microphone_failed",
    ]
