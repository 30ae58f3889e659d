"""S3-15, S3-16: the provider's key in the vault, through each shape of `get_secret`."""

from typing import Any

import pytest

from relay.stores.supabase.config import key_in
from tests.components import needs
from tests.supabase.api import Api
from tests.supabase.fixtures import HERE, migrations
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")

ROWS, TEXT = [{"key": "sk-one"}], "sk-one"


async def stored(project: Project) -> str:
    """A secret in the vault; its id."""
    query = (
        "insert into vault.secrets (name, secret) values ('openai', 'sk-one') returning id::text"
    )
    [(secret_id,)] = await project.sql(query)
    return str(secret_id)


async def answers(project: Project) -> tuple[Any, Any]:
    """What `get_secret` answers by id and by name."""
    secret_id, service = await stored(project), Api(project)
    by_id = await service.call("get_secret", {"secret_id": secret_id})
    return by_id, await service.call("get_secret", {"secret_name": "openai"})


async def test_S3_15_a_new_project_has_both_by_id_and_by_name(fresh_project: Project) -> None:
    found = await answers(fresh_project)
    assert found == (ROWS, ROWS)
    assert [key_in(answer) for answer in found] == ["sk-one", "sk-one"]


@pytest.mark.parametrize(("scalar", "by_id"), [(False, ROWS), (True, TEXT)])
async def test_S3_15_an_existing_definition_keeps_its_shape(
    s3_project: Project, scalar: bool, by_id: Any
) -> None:
    if scalar:
        await s3_project.script(HERE / "scalar_secret.sql")
    for _ in range(2):
        await s3_project.script(*migrations())
    await s3_project.restart_api()
    found = await answers(s3_project)
    assert found == (by_id, ROWS)
    assert [key_in(answer) for answer in found] == ["sk-one", "sk-one"]


async def test_S3_15_where_only_one_definition_exists_the_other_is_created(
    s3_project: Project,
) -> None:
    await s3_project.sql("drop function get_secret(text)")
    await s3_project.script(HERE / "scalar_secret.sql", *migrations())
    await s3_project.restart_api()
    assert await answers(s3_project) == (TEXT, ROWS)


async def test_S3_16_a_new_project_has_the_providers_rows_switched_off(
    fresh_project: Project,
) -> None:
    rows = await Api(fresh_project).rows("system_api_keys", order="provider_name")
    assert [(row["provider_name"], row["is_active"]) for row in rows] == [
        ("anthropic", False),
        ("openai", False),
    ]


async def test_an_unknown_secret_is_empty(fresh_project: Project) -> None:
    nobody = "eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee"
    answer = await Api(fresh_project).call("get_secret", {"secret_id": nobody})
    assert key_in(answer) == ""
