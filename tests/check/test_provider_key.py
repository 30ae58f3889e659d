"""The provider's key: in the vault, in the environment, or nowhere."""

import pytest

from relay.check.supabase import check_provider_key
from tests.check.projects import client_of, store_key
from tests.components import needs
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")


async def test_a_key_in_the_vault_is_found_and_not_shown(project: Project) -> None:
    await store_key(project)
    found = await check_provider_key("", await client_of(project))

    assert (found.state, found.what) == ("ok", "the project's vault has it")
    assert "sk-vault" not in str(found)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("update system_api_keys set is_active = false", "is not active"),
        ("update system_api_keys set vault_secret_id = null", "names no secret"),
        ("update system_api_keys set vault_secret_id = 'other'", "has no secret of that name"),
        ("delete from system_api_keys", "has no row for openai"),
        ("drop function get_secret(uuid)", "get_secret(secret_id) cannot be called"),
    ],
)
async def test_a_missing_key_fails_unless_the_environment_has_one(
    project: Project, change: str, why: str
) -> None:
    await store_key(project)
    await project.sql(change)
    await project.restart_api()
    client = await client_of(project)
    found, spare = await check_provider_key("", client), await check_provider_key("sk-own", client)

    assert found.state == "fail"
    assert why in found.what
    assert found.what.endswith("OPENAI_API_KEY is not set")
    assert "vault.create_secret" in found.hint
    assert "or set OPENAI_API_KEY" in found.hint
    assert spare.state == "ok"
    assert "sk-own" not in str(spare)
