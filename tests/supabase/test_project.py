"""The tests' own project behaves as a real one, and fails as configured."""

import asyncio
import time

import httpx
import pytest

from tests.components import needs
from tests.supabase.misbehaviour import FAULTS, Fault
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")

LEARNER = "11111111-1111-4111-8111-111111111111"
AGENT = "33333333-3333-4333-8333-333333333333"
KEYS = "/rest/v1/system_api_keys"
AGENTS = "/rest/v1/agents"


async def ask(
    project: Project, path: str, key: str | None = None, token: str | None = None
) -> httpx.Response:
    key = key or project.service_key
    headers = {"apikey": key, "Authorization": f"Bearer {token or key}"}
    async with httpx.AsyncClient(base_url=project.url, timeout=5) as client:
        return await client.get(path, headers=headers)


async def test_keys_act_as_roles_and_tokens_as_people(project: Project) -> None:
    await project.add_user(LEARNER)
    await project.add_agent(AGENT, user_id=LEARNER)
    for token in (project.mint(LEARNER), project.mint_es256(LEARNER)):
        mine = await ask(project, AGENTS, project.anon_key, token)
        assert [row["id"] for row in mine.json()] == [AGENT]
    stranger = await ask(project, AGENTS, project.anon_key, project.mint(AGENT))
    nobody = await ask(project, AGENTS, project.anon_key)
    all_of_them = await ask(project, AGENTS)
    assert (stranger.json(), nobody.json(), len(all_of_them.json())) == ([], [], 1)
    assert len((await ask(project, KEYS)).json()) == 2


async def test_a_wrong_key_and_an_expired_token_are_refused(project: Project) -> None:
    wrong = await ask(project, KEYS, "sb_secret_wrong")
    old = await ask(project, KEYS, project.anon_key, project.mint(LEARNER, exp=time.time() - 60))
    assert (wrong.status_code, wrong.json()["message"]) == (401, "Invalid API key")
    assert (old.status_code, old.json()["code"]) == (401, "PGRST301")


async def test_the_auth_server_knows_its_people_and_its_keys(project: Project) -> None:
    await project.add_user(LEARNER, email="ada@example.com")
    known = await ask(project, "/auth/v1/user", token=project.mint(LEARNER))
    unknown = await ask(project, "/auth/v1/user", token=project.mint(AGENT))
    forged = await ask(project, "/auth/v1/user", token=project.mint(LEARNER) + "x")
    key_set = await ask(project, "/auth/v1/.well-known/jwks.json")
    assert (known.json()["id"], known.json()["email"]) == (LEARNER, "ada@example.com")
    assert (unknown.status_code, unknown.json()["error_code"]) == (403, "user_not_found")
    assert (forged.status_code, forged.json()["error_code"]) == (403, "bad_jwt")
    assert key_set.json() == project.keys.public()


OUTCOMES: dict[Fault, object] = {
    "500": 500,
    "503": 503,
    "invalid_jwt": (401, "PGRST301"),
    "issued_at_future": (401, "PGRST303"),
    "html": 502,
    "broken_json": ValueError,
    "empty": ValueError,
    "hang": httpx.ReadTimeout,
    "refused": httpx.RemoteProtocolError,
    "cut": httpx.RemoteProtocolError,
    "half": ValueError,
    "lost": httpx.RemoteProtocolError,
}


async def outcome(project: Project, fault: Fault) -> object:
    """What a client sees of one insert: status (and code), or the kind of exception."""
    headers = {"apikey": project.service_key, "Prefer": "return=representation"}
    row = {"id": LEARNER, "name": "Bob"}
    try:
        seconds = 0.5 if fault == "hang" else 30.0
        async with httpx.AsyncClient(base_url=project.url, timeout=seconds) as client:
            answer = await client.post(AGENTS, headers=headers, json=row)
        if answer.headers["content-type"].startswith("text/html"):
            return answer.status_code
        code = answer.json().get("code")
    except (ValueError, httpx.HTTPError) as error:
        return ValueError if isinstance(error, ValueError) else type(error)
    return (answer.status_code, code) if answer.status_code == 401 else answer.status_code


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_gateway_fails_once_as_configured(project: Project, fault: Fault) -> None:
    project.misbehave.next(fault)
    assert await outcome(project, fault) == OUTCOMES[fault]
    applied = await project.sql("select name from agents")
    assert applied == ([("Bob",)] if fault in ("cut", "half", "lost") else [])
    assert (await ask(project, AGENTS)).status_code == 200
    assert project.misbehave.done == {fault: 1}


async def test_the_gateway_fails_as_long_and_as_often_as_configured(project: Project) -> None:
    project.misbehave.always("500")
    assert [(await ask(project, KEYS)).status_code for _ in range(3)] == [500] * 3
    project.misbehave.stop()
    project.misbehave.sometimes(0.5, "503")
    statuses = [(await ask(project, KEYS)).status_code for _ in range(40)]
    assert 5 < statuses.count(503) < 35
    assert set(statuses) == {200, 503}


async def test_the_database_dies_and_returns(project: Project) -> None:
    await project.add_agent(AGENT)
    await project.stop_database()
    assert (await ask(project, AGENTS)).status_code == 503
    await project.start_database()
    await until_well(project)
    assert len((await ask(project, AGENTS)).json()) == 1


async def test_the_api_dies_and_returns(project: Project) -> None:
    await project.stop_api()
    assert (await ask(project, AGENTS)).status_code == 503
    await project.start_api()
    assert (await ask(project, AGENTS)).status_code == 200


async def until_well(project: Project) -> None:
    async with asyncio.timeout(40):
        while (await ask(project, AGENTS)).status_code != 200:
            await asyncio.sleep(0.05)
