"""The secret that the project signs with, and another project's."""

import time

from relay.auth.tokens import JwtConfig
from relay.check.supabase import shared_secret
from tests.check.projects import asked
from tests.components import needs
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")
OTHER = "another project's secret, as long as it has to be"


async def test_the_projects_own_is_believed(project: Project) -> None:
    trust = JwtConfig(secret=project.jwt_secret, issuer=project.issuer)

    assert (await shared_secret(trust, time.time, await asked(project))).state == "ok"


async def test_another_projects_is_told_and_not_shown(project: Project) -> None:
    found = await shared_secret(JwtConfig(secret=OTHER), time.time, await asked(project))

    assert found.state == "fail"
    assert found.what.endswith("refuses a token that is signed with SUPABASE_JWT_SECRET")
    assert "Legacy JWT Secret" in found.mend
    assert OTHER not in str(found)


async def test_a_clock_that_is_wrong_says_nothing_of_the_secret(project: Project) -> None:
    trust = JwtConfig(secret=project.jwt_secret)
    found = await shared_secret(trust, lambda: time.time() - 3600, await asked(project))

    assert (found.state, found.what) == ("skip", "not before this machine's clock is right")
