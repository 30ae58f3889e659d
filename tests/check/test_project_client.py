"""Requests to a project, whatever the answer."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from relay.check import supabase
from relay.check.runner import CheckResult, ok
from relay.check.supabase import ProjectClient, ProjectUnreachable, run_project_check
from relay.interfaces import SupabaseCredentials
from tests.check.projects import client_of
from tests.components import needs
from tests.supabase.misbehaviour import Fault
from tests.supabase.project import Project

REAL = needs("postgresql", "postgrest")


async def query(client: ProjectClient) -> CheckResult:
    answer = await client.request("/rest/v1/agents?select=id")
    return ok(f"{answer.status} {answer.code}".strip())


@REAL
async def test_requests_carry_the_service_key(project: Project) -> None:
    assert (await run_project_check(await client_of(project), query)).what == "200"


@REAL
async def test_a_refusal_of_the_database_has_its_code(project: Project) -> None:
    client = await client_of(project)
    answer = await client.call("voice_put", {"records": "none"})

    assert (answer.status, answer.code) == (400, "22023")
    assert answer.message


async def test_after_a_failed_first_check_the_others_are_skipped() -> None:
    found = await run_project_check(
        ProjectClient(SupabaseCredentials("http://127.0.0.1:8", "key")), query
    )

    assert (found.state, found.what) == ("skip", "the project cannot be asked")


@REAL
@pytest.mark.parametrize("fault", ["refused", "cut", "hang"])
async def test_a_missing_answer_is_a_failure_in_bounded_time(
    project: Project, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await client_of(project)
    monkeypatch.setattr(supabase, "SECONDS", 0.3)
    project.misbehave.always(fault)
    found = await run_project_check(client, query)

    assert found.state == "fail"
    assert found.what.startswith("the project does not answer: ")


async def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 2_000_000)

    app = web.Application()
    app.router.add_get("/rest/v1/", endless)
    monkeypatch.setattr(supabase, "MAX_RESPONSE_BYTES", 1 << 20)
    async with TestServer(app) as server:
        client = ProjectClient(SupabaseCredentials(str(server.make_url("")).rstrip("/"), "key"))
        with pytest.raises(ProjectUnreachable, match="more than 1 MiB came"):
            await client.request("/rest/v1/")
