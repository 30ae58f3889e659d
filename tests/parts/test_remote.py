"""The bounds of remote parts: time, number, size, a second attempt; and what every one makes of
its provider's faults."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import pytest

from relay.parts.interfaces import FailureCode, PartFailed
from relay.parts.remote import (
    MAX_ERROR_BYTES,
    RequestSlots,
    Timeouts,
    attempted,
    bounded,
    provider_code,
    refused,
    timed,
    within,
)
from tests.own_time import own_time
from tests.parts.conformance import Subject, joined, take
from tests.parts.doubles import azure_speech, elevenlabs, openai_api
from tests.parts.doubles.double import Double, Fault, serving
from tests.parts.subjects import REMOTE

KEYS = (openai_api.KEY, elevenlabs.KEY, azure_speech.KEY)


@pytest.fixture(params=REMOTE)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with REMOTE[request.param]() as opened:
        yield opened


async def failure(subject: Subject, *faults: Fault) -> PartFailed:
    """Let these requests go wrong; return how the part failed."""
    subject.far_end.faults.extend(faults)
    with pytest.raises(PartFailed) as raised:
        await subject.answer(subject.long)
    assert raised.value.part == subject.kind
    assert not any(secret in str(raised.value) for secret in (*KEYS, "private", "Access denied"))
    return raised.value


# ------------------------------------------------------------------------ providers' faults


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "rejected"),
        (401, "unauthorized"),
        (403, "unauthorized"),
        (404, "rejected"),
        (422, "rejected"),
        (429, "rate_limited"),
        (500, "failed"),
        (504, "timeout"),
    ],
)
async def test_a_status_is_told_as_what_it_means(
    subject: Subject, status: int, code: FailureCode
) -> None:
    failed = await failure(subject, Fault(status=status))

    assert failed.code == code
    assert failed.detail.startswith(str(status))
    assert len(subject.far_end.headers) == 1


@pytest.mark.parametrize("fault", [Fault(status=502), Fault(status=503), Fault(drop=True)])
async def test_who_is_not_at_home_is_asked_once_more(subject: Subject, fault: Fault) -> None:
    subject.far_end.faults.append(fault)
    known = subject.known[0]

    assert known.answered(await subject.answer(known.request))
    assert len(subject.far_end.headers) == 2


@pytest.mark.parametrize("fault", [Fault(status=502), Fault(status=503), Fault(drop=True)])
async def test_and_not_a_third_time(subject: Subject, fault: Fault) -> None:
    assert (await failure(subject, fault, fault)).code == "unavailable"
    assert len(subject.far_end.headers) == 2


async def test_an_answer_that_is_cut_after_some_of_it_was_told_is_a_failure(
    subject: Subject,
) -> None:
    if not subject.streams:  # it has told nothing yet, and asks again
        assert (await failure(subject, *[Fault(cut_after=4)] * 2)).code == "unavailable"
        return
    pieces: list[Any] = []
    subject.far_end.faults.append(Fault(cut_after=4))
    subject.far_end.pace = 0.01  # or the reset could overtake what was sent
    with pytest.raises(PartFailed) as raised:
        await take(subject.work(subject.long), pieces)

    assert raised.value.code == "failed"
    assert joined(pieces)
    assert len(subject.far_end.headers) == 1


async def test_what_nobody_wants_any_more_is_not_sent(subject: Subject) -> None:
    subject.far_end.pace = 0.05
    task = asyncio.get_running_loop().create_task(subject.answer(subject.long))
    await subject.far_end.until(lambda: subject.far_end.sent >= 2)
    began = own_time()
    task.cancel()
    await subject.far_end.rest()

    assert own_time() - began < 1.0
    assert subject.far_end.gone == 1
    assert subject.far_end.sent <= 4


async def test_the_next_request_comes_by_the_same_connection(subject: Subject) -> None:
    for _ in range(3):
        await subject.answer(subject.known[0].request)

    assert len(subject.far_end.peers) == 3
    assert len(set(subject.far_end.peers)) == 1


async def test_a_key_does_not_follow_a_redirect(subject: Subject) -> None:
    other = Double()
    async with serving(other) as elsewhere:
        failed = await failure(subject, Fault(redirect=f"{elsewhere}/v1"))

    assert (failed.code, failed.detail) == ("rejected", "307")
    assert other.headers == []


async def test_a_server_that_is_not_there_is_unavailable(subject: Subject) -> None:
    async with serving(Double()) as address:
        port = int(address.rsplit(":", 1)[1])
    _move(subject.part, port)

    with pytest.raises(PartFailed) as raised:
        await subject.answer(subject.long)
    assert (raised.value.part, raised.value.code) == (subject.kind, "unavailable")


def _move(part: Any, port: int) -> None:
    """Point a part at a port where nobody listens."""
    holder = getattr(part, "_client", None) or part._service
    holder._base_url = f"http://127.0.0.1:{port}"


# ------------------------------------------------------------------------------------- time


async def pieces(*waits: float) -> AsyncGenerator[int]:
    for number, wait in enumerate(waits):
        await asyncio.sleep(wait)
        yield number


async def collect(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


@pytest.mark.parametrize(
    ("waits", "timeouts", "late"),
    [
        ((60,), Timeouts(first_byte=0.05), "first byte"),
        ((0, 60), Timeouts(between=0.05), "between bytes"),
        ((0, 60), Timeouts(whole=0.05), "whole answer"),
    ],
)
async def test_an_answer_may_take_so_long(
    waits: Sequence[float], timeouts: Timeouts, late: str
) -> None:
    with pytest.raises(PartFailed) as raised:
        await collect(timed("responder", timeouts, pieces(*waits)))

    assert (raised.value.code, raised.value.detail) == ("timeout", late)


async def test_the_time_for_which_its_reader_pauses_does_not_count() -> None:
    received = []
    async for piece in timed("responder", Timeouts(whole=1.0), pieces(0, 0, 0)):
        received.append(piece)
        await asyncio.sleep(0.5)

    assert received == [0, 1, 2]


def test_a_short_time_bounds_all_the_others() -> None:
    assert within(2.0) == Timeouts(2.0, 2.0, 2.0, 2.0)
    assert within(30.0) == Timeouts(5.0, 10.0, 5.0, 30.0)


# --------------------------------------------------------------------------- a second attempt


async def test_an_attempt_is_repeated_only_before_it_told_anything() -> None:
    made = []

    async def attempt() -> AsyncGenerator[str]:
        made.append(1)
        if len(made) == 2:
            yield "words"
        raise PartFailed("responder", "unavailable", "ReadError")

    with pytest.raises(PartFailed) as raised:
        await collect(attempted(attempt))

    assert len(made) == 2
    assert (raised.value.code, raised.value.detail) == ("failed", "cut: ReadError")


# ------------------------------------------------------------------------------------ number


async def test_who_would_wait_too_long_is_told_at_once() -> None:
    slots = RequestSlots("synthesizer", 1)
    assert slots.predicted_wait == 0.0
    async with slots.slot(0.0):
        assert slots.predicted_wait > 0.5
        with pytest.raises(PartFailed) as raised:
            async with slots.slot(0.5):
                pass
    assert (raised.value.part, raised.value.code) == ("synthesizer", "busy")
    async with slots.slot(0.0):
        pass


async def test_a_wait_that_was_predicted_too_short_ends_all_the_same() -> None:
    slots = RequestSlots("synthesizer", 1)
    for _ in range(30):  # quick ones teach it to expect quick ones
        async with slots.slot(0.0):
            pass
    async with slots.slot(0.0):
        with pytest.raises(PartFailed) as raised:
            async with slots.slot(0.3):
                pass
    assert (raised.value.code, raised.value.detail) == ("busy", "waited 0.3 s")


async def test_those_who_wait_are_served_in_turn_and_one_who_gives_up_leaves_no_gap() -> None:
    slots = RequestSlots("synthesizer", 1)
    served: list[int] = []

    async def come(number: int) -> None:
        async with slots.slot(60.0):
            served.append(number)

    async with asyncio.TaskGroup() as group, slots.slot(0.0):
        waiting = [group.create_task(come(number)) for number in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.sleep(0)
    assert served == [0, 2]
    assert slots.predicted_wait == 0.0


# ------------------------------------------------------------------------------- size, errors


async def test_a_body_has_an_end() -> None:
    async def body() -> AsyncGenerator[bytes]:
        while True:
            yield bytes(1000)

    with pytest.raises(PartFailed, match="too large"):
        await collect(bounded("synthesizer", body(), 5000))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": {"message": "no", "type": "x", "code": "invalid_api_key"}}, "invalid_api_key"),
        ({"error": {"message": "no", "type": "not_found_error", "code": None}}, "not_found_error"),
        ({"error": {"message": "no", "code": 400, "type": "bad"}}, "400"),
        ({"detail": {"status": "quota_exceeded", "message": "no"}}, "quota_exceeded"),
        ({"detail": [{"loc": [], "msg": "no", "type": "missing"}]}, "missing"),
        ({"error": {"code": "a whole sentence with somebody's words"}}, ""),
        ({"error": "model not found"}, ""),
        ({"detail": "Not Found"}, ""),
        ({"detail": []}, ""),
        ([], ""),
        (None, ""),
        (7, ""),
    ],
)
def test_of_an_errors_body_the_code_alone_is_told(body: object, code: str) -> None:
    assert provider_code(json.dumps(body).encode()) == code


def test_a_body_that_is_no_json_tells_nothing() -> None:
    assert provider_code(b"<html>sk-secret</html>") == ""
    assert provider_code(b"[" * MAX_ERROR_BYTES) == ""
    assert provider_code(b"\xff") == ""


def test_a_status_without_a_code_stands_alone() -> None:
    assert str(refused("responder", 503, b"")) == "responder unavailable: 503"
