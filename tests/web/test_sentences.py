"""Every way a call ends has a sentence that says what to do (OUTSIDE, Endings)."""

import pytest
from playwright.async_api import Page

from relay.realtime import endings
from tests.components import needs

pytestmark = [needs("chromium"), pytest.mark.asyncio(loop_scope="module")]

TELL = """async (ends) => {
  const { endingSentence } = await import("/sentences.js");
  return ends.map((end) => endingSentence({ opened: true, url: "ws://x", ...end }));
}"""

LATER = [
    (4008, "Budget exhausted"),
    (4009, "Replaced"),
    (4029, "Too many requests"),
    (3000, "invalid_request_error.invalid_api_key"),
    (4000, "invalid_request_error.invalid_model"),
]
"""Endings of OUTSIDE's table that the relay does not have yet, and OpenAI's own."""


async def tell(bench: Page, *ends: dict) -> list[dict[str, str]]:
    return list(await bench.evaluate(TELL, list(ends)))


async def test_every_ending_of_the_table_has_its_own_words(bench):
    every = [(ending.code, ending.reason) for ending in endings.ALL] + LATER
    sentences = await tell(bench, *[{"code": code, "reason": reason} for code, reason in every])
    for (code, reason), sentence in zip(every, sentences, strict=True):
        assert not sentence["what"].startswith("The call ended:"), (code, reason)
        assert sentence["todo"], (code, reason)
        assert reason == "" or reason not in sentence["what"]  # words for people, not for programs


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
    sentences = await tell(bench, *[{"code": e.code, "reason": e.reason} for e in shared])
    assert len({sentence["what"] for sentence in sentences}) == len(shared)


async def test_never_reached_and_lost_are_told_apart(bench):
    lost, unreached = await tell(
        bench,
        {"code": 1006, "reason": "", "opened": True},
        {"code": 1006, "reason": "", "opened": False},
    )
    assert "lost" in lost["what"]
    assert "ws://x" in unreached["what"]


async def test_the_unknown_is_told_as_it_came(bench):
    (odd,) = await tell(bench, {"code": 4777, "reason": "Odd"})
    assert odd["what"] == "The call ended: 4777 Odd."
