"""One question to a project, whatever comes back."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from relay.check import supabase as asking
from relay.check.runner import CheckResult, ok
from relay.check.supabase import ProjectClient, ProjectUnreachable, of
from relay.interfaces import SupabaseCredentials
from tests.check.projects import asked
from tests.components import needs
from tests.supabase.misbehaviour import Fault
from tests.supabase.project import Project

REAL = needs("postgresql", "postgrest")


async def look(hosted: ProjectClient) -> CheckResult:
    said = await hosted.ask("/rest/v1/agents?select=id")
    return ok(f"{said.status} {said.code}".strip())


@REAL
async def test_a_question_is_asked_with_the_service_key(project: Project) -> None:
    assert (await of(await asked(project), look)).what == "200"


@REAL
async def test_what_the_database_refuses_has_its_code(project: Project) -> None:
    hosted = await asked(project)
    said = await hosted.call("voice_put", {"records": "none"})

    assert (said.status, said.code) == (400, "22023")
    assert said.message


async def test_nobody_is_asked_after_a_first_look_that_failed() -> None:
    found = await of(ProjectClient(SupabaseCredentials("http://127.0.0.1:8", "key")), look)

    assert (found.state, found.what) == ("skip", "the project cannot be asked")


@REAL
@pytest.mark.parametrize("fault", ["refused", "cut", "hang"])
async def test_no_answer_is_a_finding_in_bounded_time(
    project: Project, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted = await asked(project)
    monkeypatch.setattr(asking, "SECONDS", 0.3)
    project.misbehave.always(fault)
    found = await of(hosted, look)

    assert found.state == "fail"
    assert found.what.startswith("the project does not answer: ")


async def test_an_answer_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 2_000_000)

    app = web.Application()
    app.router.add_get("/rest/v1/", endless)
    monkeypatch.setattr(asking, "MAX_ANSWER", 1 << 20)
    async with TestServer(app) as server:
        hosted = ProjectClient(SupabaseCredentials(str(server.make_url("")).rstrip("/"), "key"))
        with pytest.raises(ProjectUnreachable, match="more than 1 MiB came"):
            await hosted.ask("/rest/v1/")
