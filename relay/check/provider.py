"""Asks whether a remote part's server can be reached and takes the key, which costs nothing."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import aiohttp

from relay.check.parts import PartRemedies
from relay.check.proxy import SECONDS, failure_reason
from relay.check.runner import CheckResult, fail, ok
from relay.egress import way_out
from relay.http_body import BodyTooLarge, read_body

MAX_LIST_BYTES: Final = 4 * 1024 * 1024
"""Of a list of models; the longest known, of some thousand models, has one million."""
_REFUSED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


@dataclass(frozen=True, slots=True)
class PartServer:
    """Where a remote part is.

    `lists` is the address of its list of models in OpenAI's form, "" where it has none that any
    key may read; only there `headers`, with the key, are sent. `model` is the one that is meant,
    "" for the first in the list; `demands_it` says that no other than those in the list work.
    """

    address: str
    lists: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    model: str = ""
    demands_it: bool = False


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    milliseconds: int


async def check_server(server: PartServer, remedies: PartRemedies) -> CheckResult:
    """Check that it can be reached and, where it has a list of models, that it takes the key."""
    try:
        answer = await _ask(server)
    except (aiohttp.ClientError, BodyTooLarge, TimeoutError, OSError, ValueError) as error:
        return fail(f"{server.address}: {failure_reason(error)}", remedies.unavailable)
    reached = f"{server.address} answers after {answer.milliseconds} ms"
    if not server.lists:
        return ok(reached)
    if answer.status in _REFUSED:
        return fail(f"{server.address} refuses the key", remedies.unauthorized)
    if answer.status != HTTPStatus.OK:  # not every server has such a list
        return ok(reached)
    return _check_model(server, _models(answer.body), reached, remedies)


async def _ask(server: PartServer) -> _Answer:
    limit = aiohttp.ClientTimeout(total=SECONDS)
    began = time.monotonic()
    async with (
        way_out().http_session(timeout=limit) as http,
        http.get(
            server.lists or server.address,
            headers=dict(server.headers) if server.lists else {},
            allow_redirects=False,  # a key goes to its address and no further
        ) as response,
    ):
        milliseconds = round((time.monotonic() - began) * 1000)
        is_list = server.lists and response.status == HTTPStatus.OK
        body = await read_body(response, MAX_LIST_BYTES) if is_list else b""
        return _Answer(response.status, body, milliseconds)


def _models(body: bytes) -> list[str] | None:
    """Return the names in a list of models, None where it is none."""
    try:
        return [str(entry["id"]) for entry in json.loads(body)["data"] or ()]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None


def _check_model(
    server: PartServer, models: list[str] | None, reached: str, remedies: PartRemedies
) -> CheckResult:
    if models is None:
        return fail(f"{server.lists} is no list of models", remedies.unavailable)
    if not models:
        return fail(f"{server.address} has no model", remedies.rejected)
    if server.model in ("", *models, *(name.removesuffix(":latest") for name in models)):
        return ok(f"{reached} and has {server.model or models[0]}")
    missing = f"{server.model} is not among its models"
    if server.demands_it:
        return fail(f"{server.address}: {missing}", remedies.rejected)
    return ok(f"{reached}, but {missing}", remedies.rejected)
