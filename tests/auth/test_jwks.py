"""Tests of the issuer's key set: fetched once, rotated, kept while the issuer is unreachable."""

import asyncio
from collections.abc import Callable

import aiohttp
import pytest
from aiohttp import web

from relay.auth import jwks as fetch
from relay.auth.jwks import (
    MAX_BODY,
    MAX_KEYS,
    REFETCH_PAUSE,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    FetchFailed,
    HttpAnswer,
    Jwks,
    KeySetUnavailable,
    KeyUnknownYet,
    fetch_json,
    read_keys,
)
from tests.auth.supabase import ec_key, public_row, rsa_key


class Clock:
    """A clock that a test sets, and the one timer that it has run out."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.next: tuple[float, Callable[[], object]] | None = None

    def __call__(self) -> float:
        return self.now

    def later(self, seconds: float, call: Callable[[], object]) -> asyncio.TimerHandle:
        self.next = seconds, call
        loop = asyncio.get_running_loop()
        return asyncio.TimerHandle(0.0, lambda: None, (), loop)

    async def pass_to_the_next_fetch(self, keys: Jwks) -> float:
        """Seconds until the set is fetched anew; the fetch is over when this returns."""
        assert self.next is not None
        seconds, call = self.next
        self.now += seconds
        call()
        assert keys._fetching is not None
        await asyncio.wait({keys._fetching})
        return seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def jwks(auth, http, clock):
    auth.keys = [public_row(ec_key("first"), "one")]
    keys = Jwks(auth.jwks_url, http, clock, clock.later)
    yield keys
    await keys.aclose()


async def found(jwks, kid, algorithm="ES256"):
    return await jwks.find(kid, algorithm) is not None


async def test_S3_5_one_fetch_serves_until_the_set_is_renewed_in_time(jwks, auth, clock):
    assert await found(jwks, "one")
    assert await found(jwks, "one")
    assert auth.jwks_asked == 1
    assert await clock.pass_to_the_next_fetch(jwks) == REFRESH_SECONDS
    assert await found(jwks, "one")
    assert auth.jwks_asked == 2


async def test_S3_5_a_rotated_key_is_found_by_its_unknown_id(jwks, auth, clock):
    assert await found(jwks, "one")
    auth.keys.append(public_row(ec_key("second"), "two"))
    clock.now += REFETCH_PAUSE
    assert await found(jwks, "two")
    assert await found(jwks, "one")
    assert auth.jwks_asked == 2


async def test_a_key_that_is_newer_than_the_set_of_a_moment_ago_is_not_called_wrong(
    jwks, auth, clock
):
    assert await found(jwks, "one")
    auth.keys.append(public_row(ec_key("second"), "two"))
    with pytest.raises(KeyUnknownYet):
        await jwks.find("two", "ES256")
    assert auth.jwks_asked == 1
    clock.now += REFETCH_PAUSE
    assert await found(jwks, "two")


async def test_a_key_is_not_called_wrong_while_the_set_cannot_be_fetched(jwks, auth, clock):
    assert await found(jwks, "one")
    auth.jwks_answer = web.Response(status=500)
    clock.now += REFETCH_PAUSE
    for _ in range(2):
        with pytest.raises(KeySetUnavailable) as refusal:
            await jwks.find("two", "ES256")
        assert not isinstance(refusal.value, KeyUnknownYet)
    assert auth.jwks_asked == 2


async def test_S3_5_a_revoked_key_is_gone_with_the_next_set_though_nobody_asked(jwks, auth, clock):
    assert await found(jwks, "one")
    auth.keys = [public_row(ec_key("second"), "two")]
    await clock.pass_to_the_next_fetch(jwks)
    clock.now += REFETCH_PAUSE
    assert not await found(jwks, "one")


async def test_invented_key_ids_cause_one_fetch_per_pause(jwks, auth, clock):
    assert await found(jwks, "one")
    for fetches in (2, 3):
        clock.now += REFETCH_PAUSE
        assert not await found(jwks, "made-up")
        for n in range(100):
            with pytest.raises(KeyUnknownYet):
                await jwks.find(f"made-up-{n}", "ES256")
        assert auth.jwks_asked == fetches


async def test_a_known_id_with_another_algorithm_costs_no_fetch(jwks, auth, clock):
    assert await found(jwks, "one")
    clock.now += REFETCH_PAUSE
    assert not await found(jwks, "one", "RS256")
    assert auth.jwks_asked == 1


async def test_concurrent_callers_wait_for_one_fetch(jwks, auth):
    auth.gate = asyncio.Event()
    async with asyncio.TaskGroup() as callers:
        waiting = [callers.create_task(found(jwks, "one")) for _ in range(50)]
        await auth.asked.wait()
        auth.gate.set()
    assert all(task.result() for task in waiting)
    assert auth.jwks_asked == 1


async def test_a_cancelled_caller_does_not_cancel_the_fetch_of_the_others(jwks, auth):
    auth.gate = asyncio.Event()
    async with asyncio.TaskGroup() as callers:
        first = callers.create_task(found(jwks, "one"))
        await auth.asked.wait()
        second = callers.create_task(found(jwks, "one"))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        auth.gate.set()
    assert first.cancelled()
    assert second.result()
    assert auth.jwks_asked == 1


@pytest.mark.parametrize(
    "failure",
    [
        web.Response(status=500),
        web.Response(text="<html>"),
        web.json_response({"keys": "none"}),
        web.json_response([]),
        web.json_response({"keys": []}, status=404),
        web.Response(body=b" " * (fetch.MAX_BODY + 1)),
    ],
    ids=["500", "html", "keys no list", "a list", "404", "too big"],
)
async def test_S3_5_a_failing_issuer_leaves_the_old_set_in_force(jwks, auth, clock, failure):
    assert await found(jwks, "one")
    auth.jwks_answer = failure
    await clock.pass_to_the_next_fetch(jwks)
    assert await found(jwks, "one")
    assert await found(jwks, "one")
    assert auth.jwks_asked == 2
    auth.jwks_answer = None
    auth.keys = [public_row(ec_key("second"), "two")]
    assert await clock.pass_to_the_next_fetch(jwks) == RETRY_SECONDS
    assert await found(jwks, "two")


async def test_nobody_whose_key_is_known_waits_for_a_fetch(jwks, auth, clock):
    assert await found(jwks, "one")
    auth.gate = asyncio.Event()  # the issuer is frozen
    auth.asked.clear()
    clock.now += REFETCH_PAUSE
    async with asyncio.TaskGroup() as callers:
        stranger = callers.create_task(found(jwks, "two"))
        await auth.asked.wait()
        async with asyncio.timeout(30):
            assert all([await found(jwks, "one") for _ in range(9)])
        assert not stranger.done()
        auth.keys.append(public_row(ec_key("second"), "two"))
        auth.gate.set()
    assert stranger.result(), "it was asked meanwhile, and answers"


async def test_without_a_key_set_no_token_can_be_verified(jwks, auth, clock):
    auth.jwks_answer = web.Response(status=503)
    for _ in range(3):
        with pytest.raises(KeySetUnavailable):
            await jwks.find("one", "ES256")
    assert auth.jwks_asked == 1
    auth.jwks_answer = None
    clock.now += REFETCH_PAUSE
    assert await found(jwks, "one")


async def test_closing_cancels_a_fetch_under_way(jwks, auth):
    auth.gate = asyncio.Event()

    async def refused():
        with pytest.raises(KeySetUnavailable):
            await jwks.find("one", "ES256")

    async with asyncio.TaskGroup() as callers:
        callers.create_task(refused())
        await auth.asked.wait()
        await jwks.aclose()
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert "jwks fetch" not in names


async def test_a_token_without_an_id_gets_the_only_key_of_its_kind(jwks, auth, clock):
    auth.keys = [public_row(ec_key("first"), "one"), public_row(rsa_key("first"), "three")]
    assert await found(jwks, None, "ES256")
    assert await found(jwks, None, "RS256")
    auth.keys.append(public_row(ec_key("second"), "two"))
    await clock.pass_to_the_next_fetch(jwks)
    assert not await found(jwks, None, "ES256")


def usable(*rows):
    return set(read_keys(HttpAnswer(200, {"keys": list(rows)})))


def test_a_key_is_bound_to_the_algorithm_of_its_type():
    rows = [public_row(ec_key("first"), "e"), public_row(rsa_key("first"), "r")]
    assert usable(*rows) == {("e", "ES256"), ("r", "RS256")}


@pytest.mark.parametrize(
    "row",
    [
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "kid": "x"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "x", "alg": "ES256"},
        public_row(ec_key("first"), "x", alg="HS256"),
        public_row(ec_key("first"), "x", alg="RS256"),
        public_row(rsa_key("first"), "x", alg="RS512"),
        public_row(ec_key("first"), "x", use="enc"),
        public_row(ec_key("first"), "x", crv="P-384"),
        public_row(ec_key("first"), "x", x="AAAA"),
        public_row(ec_key("first"), "x", x=5),
        public_row(ec_key("first"), "x") | {"kid": 7},
        public_row(ec_key("first"), "x", d="AAAA"),
        public_row(rsa_key("small", 1024), "x"),
        {"kty": "RSA", "kid": "x"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": "x"},
        {},
        "x",
        None,
    ],
)
def test_an_unusable_row_is_skipped(row):
    good = public_row(ec_key("second"), "good")
    assert usable(row, good) == {("good", "ES256")}


def test_at_most_max_keys_are_read():
    row = public_row(ec_key("first"), "x")
    assert len(usable(*(row | {"kid": str(n)} for n in range(MAX_KEYS + 5)))) == MAX_KEYS


def test_an_answer_that_is_not_a_key_set_fails_with_its_status():
    with pytest.raises(FetchFailed, match=r"not a key set \(HTTP 502\)"):
        read_keys(HttpAnswer(502, {"keys": []}))


async def test_a_fetch_returns_status_and_document(auth, http):
    auth.jwks_answer = web.json_response({"a": [1]}, status=418)
    assert await fetch_json(http, auth.jwks_url) == HttpAnswer(418, {"a": [1]})


@pytest.mark.parametrize("body", [b"<html>502</html>", b"", b"\xff\xfe\x00", b"[" * 100_000])
async def test_a_body_that_is_not_json_has_no_document(auth, http, body):
    auth.jwks_answer = web.Response(body=body)
    assert await fetch_json(http, auth.jwks_url) == HttpAnswer(200, None)


async def test_a_body_over_the_limit_fails(auth, http):
    auth.jwks_answer = web.Response(body=b" " * (MAX_BODY + 1))
    with pytest.raises(FetchFailed, match="more than"):
        await fetch_json(http, auth.jwks_url)


async def test_a_compressed_body_is_limited_by_its_unpacked_size(auth, http):
    auth.jwks_answer = web.Response(body=b" " * (40 * MAX_BODY))
    auth.jwks_answer.enable_compression(web.ContentCoding.gzip)
    with pytest.raises(FetchFailed):
        await fetch_json(http, auth.jwks_url)


async def test_a_silent_server_times_out(auth, http, monkeypatch):
    monkeypatch.setattr(fetch, "MAX_SECONDS", 0.05)
    auth.gate = asyncio.Event()
    with pytest.raises(FetchFailed):
        await fetch_json(http, auth.jwks_url)


async def test_a_redirect_is_not_followed(auth, http):
    elsewhere = {"Location": f"{auth.url}/auth/v1/user"}
    auth.jwks_answer = web.Response(status=302, headers=elsewhere)
    answer = await fetch_json(http, auth.jwks_url, {"apikey": "k"})
    assert (answer.status, auth.user_asked) == (302, [])


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x?apikey=s3cr3t", "not a url s3cr3t"])
async def test_an_unreachable_server_is_reported_without_its_address(url):
    async with aiohttp.ClientSession() as http:
        with pytest.raises(FetchFailed) as failure:
            await fetch_json(http, url)
    assert "s3cr3t" not in str(failure.value)
    assert failure.value.__cause__ is None
