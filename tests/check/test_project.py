"""The first check of a project: its address, its service key, and its database."""

import time

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from relay.check.supabase import ProjectClient, check_project
from relay.interfaces import SupabaseCredentials
from tests.check.projects import checked
from tests.components import needs
from tests.supabase.project import Project

BROKEN_OFF = {"code": "", "details": None, "hint": None, "message": ""}
"""PostgREST's answer when its connection to the database breaks under a request."""
NO_CACHE = {"code": "PGRST002", "message": "Could not query the database for the schema cache."}
REAL = needs("postgresql", "postgrest")


def old_key(project: Project, role: str) -> str:
    """A key of the older kind: a token that lasts ten years."""
    claims = {"iss": "supabase", "role": role, "exp": int(time.time()) + 315_360_000}
    return project.keys.hs256(claims)


@REAL
async def test_a_project_takes_its_service_key_old_or_new(project: Project) -> None:
    for key in (project.service_key, old_key(project, "service_role")):
        client, found = await checked(project, key)
        assert (found.state, found.what) == ("ok", f"{project.url} takes the service key")
        assert client.openapi is not None
        assert client.voice_check is not None


@REAL
async def test_a_wrong_key_is_reported_and_not_shown(project: Project) -> None:
    other = jwt.encode({"role": "service_role"}, "x" * 40, algorithm="HS256")
    for key in ("sb_secret_of_another_project", other):
        client, found = await checked(project, key)
        assert (found.state, client.openapi) == ("fail", None)
        assert found.what == f"{project.url} refuses SUPABASE_SERVICE_ROLE_KEY (HTTP 401)"
        assert found.hint.startswith("set SUPABASE_SERVICE_ROLE_KEY to a secret key")
        assert key not in str(found)


@REAL
async def test_a_key_for_browsers_is_recognized(project: Project) -> None:
    _, new = await checked(project, project.anon_key)
    _, old = await checked(project, old_key(project, "anon"))

    assert new.what == "SUPABASE_SERVICE_ROLE_KEY is a publishable key, which is for browsers"
    assert old.what == "SUPABASE_SERVICE_ROLE_KEY is the key of the role 'anon'"
    assert {new.state, old.state} == {"fail"}
    assert "sb_secret_…" in new.hint


async def test_an_address_without_a_server() -> None:
    found = await check_project(
        ProjectClient(SupabaseCredentials("http://127.0.0.1:8", "sb_secret_1"))
    )

    assert (found.state, found.what) == (
        "fail",
        "http://127.0.0.1:8 does not answer: nobody listens there",
    )
    assert "SUPABASE_URL" in found.hint


@pytest.mark.parametrize(
    ("answer", "what", "hint"),
    [
        (web.Response(text="<html>", content_type="text/html"), "HTTP 200 at", "SUPABASE_URL"),
        (web.json_response({"paths": []}), "HTTP 200 at", "SUPABASE_URL"),
        (web.Response(status=301, headers={"Location": "/"}), "HTTP 301 at", "SUPABASE_URL"),
        (web.Response(status=540), "is paused", "restore it"),
        (web.json_response(BROKEN_OFF, status=400), "its database (HTTP 400)", "status"),
        (web.json_response(BROKEN_OFF | NO_CACHE, status=503), "(PGRST002)", "status"),
    ],
)
async def test_an_address_that_is_not_a_project(answer: web.Response, what: str, hint: str) -> None:
    async def say(_: web.Request) -> web.Response:
        return answer

    app = web.Application()
    app.router.add_get("/rest/v1/", say)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        found = await check_project(ProjectClient(SupabaseCredentials(url, "sb_secret_1")))

    assert found.state == "fail"
    assert what in found.what
    assert hint in found.hint


@REAL
async def test_an_api_without_its_database(project: Project) -> None:
    await project.stop_database()
    _, found = await checked(project)

    assert found.state == "fail"
    assert found.what.startswith(f"the API at {project.url} cannot use its database (")
