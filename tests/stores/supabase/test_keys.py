"""The provider's key, read from a project's vault."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import structlog

from relay.realtime.endings import INTERNAL_ERROR, SessionRefused
from relay.stores.supabase.client import RestClient
from relay.stores.supabase.config import TableAgents, VaultKey, key_in
from relay.stores.supabase.errors import (
    DatabaseError,
    DatabaseFailing,
    DatabaseKeyRefused,
    DatabaseUnreachable,
)
from tests.components import needs
from tests.stores.hosted import access, waiting_for
from tests.supabase import fixtures
from tests.supabase.misbehaviour import FAULTS, Fault
from tests.supabase.project import Project

REAL = needs("postgresql", "postgrest")
SCALAR_SECRET = Path(fixtures.__file__).parent / "scalar_secret.sql"
OTHER = "99999999-9999-4999-8999-999999999999"


@pytest.mark.parametrize(
    "answer", [[{"key": "sk-vault"}], {"key": "sk-vault"}, "sk-vault", "sk-vault\n"]
)
def test_S3_15_each_shape_of_the_answer_is_understood(answer: Any) -> None:
    assert key_in(answer) == "sk-vault"


@pytest.mark.parametrize("answer", [None, [], {}, "", [None], [{"key": None}], {"key": 5}, 5, True])
def test_S3_16_an_answer_without_a_key_is_no_key(answer: Any) -> None:
    assert key_in(answer) == ""


class Refusing:
    """A project's API that answers each question with one error."""

    def __init__(self, error: DatabaseError) -> None:
        self.error = error

    def select(self, *_: str) -> Any:
        return MagicMock()

    async def rows(self, _: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (
            DatabaseFailing("53300", 503),
            {"reason": "DatabaseFailing", "status": 503, "code": "53300"},
        ),
        (DatabaseKeyRefused("", 401), {"reason": "DatabaseKeyRefused", "status": 401}),
        (DatabaseUnreachable(), {"reason": "DatabaseUnreachable"}),
    ],
    ids=["failing", "refused", "unreachable"],
)
async def test_what_the_database_said_is_logged_with_status_and_code(
    error: DatabaseError, fields: dict[str, Any]
) -> None:
    rest: Any = Refusing(error)
    vault, agents = VaultKey(rest), TableAgents(rest)
    with structlog.testing.capture_logs() as logs:
        for look in (vault.current(), agents.find(OTHER)):
            with pytest.raises(SessionRefused):
                await look
    key, agent = ({**line} for line in logs)
    assert key == {"event": "could not read provider key", "log_level": "warning", **fields}
    assert agent.pop("agent_id") == OTHER
    assert agent == {"event": "could not read agent", "log_level": "warning", **fields}
    await vault.aclose()
    await agents.aclose()


KEYS_PATH = "/rest/v1/system_api_keys"
SECRET = "88888888-8888-4888-8888-888888888888"


class Vault:
    """A project's vault, and a relay's key source at a clock of its own."""

    def __init__(self, project: Project, fallback: str = "") -> None:
        self.project = project
        self.now = 0.0
        self.rest = RestClient(access(project))
        self.source = VaultKey(self.rest, fallback, lambda: self.now)

    async def has(self, key: str) -> None:
        """Put a key where S3's admins do."""
        await self.project.sql(
            "insert into vault.secrets (id, name, secret) values (%s, 'openai', %s)"
            " on conflict (id) do update set secret = excluded.secret",
            *(SECRET, key),
        )
        await self.names(SECRET)

    async def names(self, secret: str | None, active: bool = True) -> None:
        await self.project.sql(
            "update system_api_keys set vault_secret_id = %s, is_active = %s"
            " where provider_name = 'openai'",
            *(secret, active),
        )

    @property
    def asked(self) -> int:
        return self.project.misbehave.seen[KEYS_PATH]


@pytest.fixture
async def vault(s3_project: Project) -> AsyncIterator[Vault]:
    vault = Vault(s3_project)
    yield vault
    await vault.source.aclose()
    await vault.rest.aclose()


@REAL
async def test_S3_15_the_active_row_names_the_secret(vault: Vault) -> None:
    await vault.has("sk-vault")
    assert await vault.source.current() == "sk-vault"


@REAL
async def test_S3_15_the_later_function_answers_with_a_text(vault: Vault) -> None:
    await vault.project.script(SCALAR_SECRET)
    await vault.project.restart_api()
    await vault.has("sk-vault")
    assert await vault.source.current() == "sk-vault"


@REAL
async def test_S3_15_a_secret_may_be_known_by_its_name(vault: Vault) -> None:
    await vault.has("sk-vault")
    await vault.names("openai")
    assert await vault.source.current() == "sk-vault"


@REAL
@pytest.mark.parametrize("fallback", ["", "sk-environment"])
async def test_S3_16_an_inactive_or_missing_key_is_not_configured(
    vault: Vault, fallback: str
) -> None:
    source = VaultKey(vault.rest, fallback, lambda: vault.now)
    found = [await source.current()]
    await vault.has("sk-vault")
    for secret, active in [(SECRET, False), (None, True), ("", True), (OTHER, True)]:
        vault.now += 60
        await vault.names(secret, active)
        found.append(await source.current())
    vault.now += 60
    await vault.project.sql("delete from system_api_keys where provider_name = 'openai'")
    found.append(await source.current())
    assert found == [fallback] * 6


@REAL
@pytest.mark.parametrize("key", ["sk-a b", "sk-a\r\nX-Evil: 1", "sk-ü"])
async def test_an_invalid_header_value_is_not_a_key(vault: Vault, key: str) -> None:
    await vault.has(key)
    assert await vault.source.current() == ""


@REAL
async def test_S3_80_a_rotated_key_is_used_within_a_minute_without_a_restart(vault: Vault) -> None:
    await vault.has("sk-old")
    assert await vault.source.current() == "sk-old"
    await vault.has("sk-new")
    vault.now = 59.0
    assert await vault.source.current() == "sk-old"
    vault.now = 60.0
    assert await vault.source.current() == "sk-new"
    assert vault.asked == 2


@REAL
async def test_S3_80_a_rotated_key_is_used_at_once_when_the_provider_refuses_the_old_one(
    vault: Vault,
) -> None:
    await vault.has("sk-old")
    await vault.source.current()
    await vault.has("sk-new")
    vault.now = 2.0
    for _ in range(10):
        vault.source.refused()
    assert await vault.source.current() == "sk-new"
    vault.source.refused()
    assert await vault.source.current() == "sk-new"
    assert vault.asked == 2


@REAL
async def test_concurrent_calls_share_one_lookup(vault: Vault) -> None:
    await vault.has("sk-vault")
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(vault.source.current()) for _ in range(50)]
    assert {call.result() for call in calls} == {"sk-vault"}
    assert vault.asked == 1


@REAL
async def test_the_old_key_serves_for_ten_minutes_without_the_database(vault: Vault) -> None:
    await vault.has("sk-vault")
    await vault.source.current()
    vault.project.misbehave.always("503")
    vault.now = 500.0
    assert await vault.source.current() == "sk-vault"
    vault.now = 601.0
    with pytest.raises(SessionRefused) as refused:
        await vault.source.current()
    assert refused.value.ending == INTERNAL_ERROR


@REAL
@pytest.mark.parametrize("fault", FAULTS)
async def test_the_environments_key_is_used_when_the_vault_fails(
    vault: Vault, fault: Fault
) -> None:
    vault.project.misbehave.always(fault)
    source = VaultKey(vault.rest, "sk-environment", lambda: vault.now)
    with waiting_for(vault.rest, fault), structlog.testing.capture_logs() as logs:
        assert await source.current() == "sk-environment"
    assert [line["event"] for line in logs] == ["could not read provider key"]


@REAL
async def test_S3_40_one_call_waits_for_a_database_that_hangs_and_the_next_do_not(
    vault: Vault,
) -> None:
    await vault.has("sk-vault")
    vault.project.misbehave.always("hang")
    source = VaultKey(vault.rest, "sk-environment", lambda: vault.now)
    with waiting_for(vault.rest, "hang"):
        for now in (0.0, 0.1, 4.9):
            vault.now = now
            assert await source.current() == "sk-environment"
    assert vault.asked == 1
    vault.project.misbehave.stop()
    vault.now = 5.1
    assert await source.current() == "sk-vault"


@REAL
@pytest.mark.parametrize("fault", ["half", "broken_json", "empty", "cut"])
async def test_part_of_an_answer_is_not_a_key(vault: Vault, fault: Fault) -> None:
    await vault.has("sk-vault")
    vault.project.misbehave.path = "/rest/v1/rpc/get_secret"
    vault.project.misbehave.always(fault)
    with pytest.raises(SessionRefused):
        await vault.source.current()


@REAL
async def test_S3_17_no_error_and_no_log_holds_a_key(vault: Vault) -> None:
    await vault.has("sk-vault bad")
    with structlog.testing.capture_logs() as logs:
        await vault.source.current()
        vault.project.misbehave.always("500")
        vault.now = 1000.0
        with pytest.raises(SessionRefused) as refused:
            await vault.source.current()
    told = f"{logs}{refused.value!r}{refused.value.__cause__!r}{refused.value.__context__!r}"
    assert "sk-vault" not in told
    assert vault.project.service_key not in told
    assert vault.project.service_key not in repr(vault.rest) + repr(vault.source)
