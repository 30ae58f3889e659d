"""Servers of remote parts: reached or not, with a key or without, with the model or not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from relay.check.parts import PartRemedies
from relay.check.provider import PartServer, check_server
from tests.parts.doubles.double import Double, Fault, serving
from tests.parts.doubles.ollama import MODEL, ollama
from tests.parts.doubles.openai_api import KEY, openai_api

REMEDIES = PartRemedies("see THE_KEY", "see THE_ADDRESS", "see THE_MODEL")


def listing(url: str, key: str = KEY, model: str = "gpt-4o-mini", **more: bool) -> PartServer:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return PartServer(url, f"{url}/models", headers, model, **more)


async def told(server: PartServer) -> tuple[str, str, str]:
    found = await check_server(server, REMEDIES)
    return found.state, found.what, found.hint


async def test_a_server_that_takes_the_key_and_has_the_model() -> None:
    async with openai_api() as (double, url):
        state, what, hint = await told(listing(url))

    assert (state, hint) == ("ok", "")
    assert what.startswith(f"{url} answers after ")
    assert what.endswith(" ms and has gpt-4o-mini")
    assert double.headers[0]["Authorization"] == f"Bearer {KEY}"


async def test_a_key_that_is_refused_is_not_shown() -> None:
    async with openai_api() as (_, url):
        assert await told(listing(url, key="sk-wrong")) == (
            "fail",
            f"{url} refuses the key",
            "see THE_KEY",
        )


async def test_a_model_that_is_not_listed_may_still_be_there_and_is_told() -> None:
    """OpenAI's own list has no deployments, and other servers list only what is loaded."""
    async with openai_api() as (_, url):
        state, what, hint = await told(listing(url, model="another"))

    assert (state, hint) == ("ok", "see THE_MODEL")
    assert what.endswith(", but another is not among its models")


@pytest.mark.parametrize(
    ("model", "state"),
    [(MODEL, "ok"), ("", "ok"), ("another", "fail")],
)
async def test_an_ollama_has_the_models_that_it_lists_and_no_other(model: str, state: str) -> None:
    async with ollama() as (double, url):
        found = await told(listing(f"{url}/v1", key="", model=model, demands_it=True))

    assert found[0] == state
    assert found[2] == ("see THE_MODEL" if state == "fail" else "")
    assert (f"has {MODEL}" in found[1]) == (state == "ok")
    assert "Authorization" not in double.headers[0]


async def test_nobody_listens() -> None:
    assert await told(listing("http://127.0.0.1:8/v1")) == (
        "fail",
        "http://127.0.0.1:8/v1: nobody listens there",
        "see THE_ADDRESS",
    )


@asynccontextmanager
async def answering(status: int, body: bytes) -> AsyncIterator[tuple[Double, str]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body)

    double = Double()
    async with serving(double, web.get("/v1/models", answer), web.get("/v1", answer)) as url:
        yield double, f"{url}/v1"


@pytest.mark.parametrize(
    ("status", "body", "state", "what"),
    [
        (404, b"no such page", "ok", "answers after"),
        (500, b"{}", "ok", "answers after"),
        (403, b"{}", "fail", "refuses the key"),
        (200, b"<html>", "fail", "/models is no list of models"),
        (200, b'{"data": {"a": 1}}', "fail", "/models is no list of models"),
        (200, b'{"data": []}', "fail", "has no model"),
        (200, b'{"data": null}', "fail", "has no model"),
        (200, b'{"data": [{"id": "llama3.2:latest"}]}', "ok", "and has llama3.2"),
    ],
)
async def test_other_answers(status: int, body: bytes, state: str, what: str) -> None:
    async with answering(status, body) as (_, url):
        found = await told(listing(url, model="llama3.2", demands_it=True))

    assert found[0] == state
    assert what in found[1]


async def test_a_list_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.check.provider.MAX_LIST_BYTES", 100)
    async with answering(200, bytes(200)) as (_, url):
        assert (await told(listing(url)))[0] == "fail"


async def test_a_key_follows_no_redirect() -> None:
    async with answering(200, b"") as (elsewhere, target), openai_api() as (double, url):
        double.faults.append(Fault(redirect=target))
        assert (await told(listing(url)))[0] == "ok"

    assert elsewhere.headers == []


async def test_a_server_without_a_list_is_only_reached_and_gets_no_key() -> None:
    async with answering(401, b"") as (double, url):
        found = await told(PartServer(url, headers={"xi-api-key": "secret"}))

    assert found[0] == "ok"
    assert "xi-api-key" not in double.headers[0]


async def test_the_text_of_a_server_hides_its_key() -> None:
    assert KEY not in repr(listing("http://127.0.0.1:8/v1"))
