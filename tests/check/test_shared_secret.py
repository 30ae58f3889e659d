"""SUPABASE_JWT_SECRET: the project's own, and another project's."""

import time

from relay.auth.tokens import JwtConfig
from relay.check.supabase import check_shared_secret
from tests.check.projects import client_of
from tests.components import needs
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")
OTHER = "another project's secret, as long as it has to be"


async def test_the_projects_own_secret_passes(project: Project) -> None:
    config = JwtConfig(secret=project.jwt_secret, issuer=project.issuer)

    assert (await check_shared_secret(config, time.time, await client_of(project))).state == "ok"


async def test_another_projects_secret_fails_and_is_not_shown(project: Project) -> None:
    found = await check_shared_secret(JwtConfig(secret=OTHER), time.time, await client_of(project))

    assert found.state == "fail"
    assert found.what.endswith("refuses a token that is signed with SUPABASE_JWT_SECRET")
    assert "Legacy JWT Secret" in found.hint
    assert OTHER not in str(found)


async def test_with_a_wrong_clock_the_check_is_skipped(project: Project) -> None:
    config = JwtConfig(secret=project.jwt_secret)
    found = await check_shared_secret(config, lambda: time.time() - 3600, await client_of(project))

    assert (found.state, found.what) == ("skip", "not checked until this machine's clock is right")
