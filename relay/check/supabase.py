"""Checks of a Supabase project: address and key, clock, schema, access, provider key, agent."""

import base64
import json
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from relay.agents.config import InvalidAgent
from relay.auth.tokens import LEEWAY, JwtConfig, mint
from relay.check.proxy import failure_reason
from relay.check.runner import CheckResult, fail, ok, skip
from relay.egress import way_out
from relay.http_body import BodyTooLarge, read_body
from relay.interfaces import SupabaseCredentials
from relay.realtime.grant import Caller
from relay.stores.supabase.config import PROVIDER, agent_of, key_in
from relay.stores.supabase.store import is_uuid

SECONDS: Final = 5.0
"""For one request, connecting included; equal to `proxy.SECONDS`, which `failure_reason` names."""
MAX_RESPONSE_BYTES: Final = 8 * 1024 * 1024
"""Of one response: the OpenAPI description of some hundred tables has one or two million."""
TOKEN_SECONDS: Final = 60.0
"""Lifetime of the token with which the shared secret is tried."""
VOICE_CHECK: Final = "voice_check"
"""The function of `supabase/migrations` that reports the state of the database."""
PAUSED: Final = 540
"""The HTTP status of a paused project."""
UNKNOWN_TO_API: Final = ("PGRST202", "PGRST203", "PGRST204", "PGRST205")
"""PostgREST's codes for functions, columns and tables that are not in its schema cache."""
RELAY_POLICY: Final = "voice:"
"""Prefix of the names of the relay's own policies."""

SchemaNames = Mapping[str, frozenset[str]]
"""Tables with their columns, or functions with their arguments."""


def _names(**members: str) -> dict[str, frozenset[str]]:
    return {name: frozenset(listed.split()) for name, listed in members.items()}


CHAT_TABLES: Final[SchemaNames] = _names(
    agents="id",
    conversation_sessions="id conversation_id user_id agent_id title started_at last_active"
    " message_count session_state status",
    chat_messages_v2="id conversation_id session_id sender_user_id sender_agent_id role content"
    " metadata created_at updated_at",
    system_api_keys="provider_name vault_secret_id is_active",
)
"""The text chat's tables, which the relay shares."""
RELAY_TABLES: Final[SchemaNames] = _names(
    voice_sessions="id conversation_id user_id agent_id model voice door engine started_at ended_at"
    " ending seq",
    voice_usage="id conversation_id user_id agent_id voice_session_id model day seq text_in"
    " text_cached text_out audio_in audio_cached audio_out image_in image_cached reasoning"
    " milliseconds characters cost_micro",
    coach_assignments="coach_id learner_id created_at",
    coach_actions="id session_id conversation_id coach_id action details at",
    voice_agents="agent_id settings updated_at",
)
RELAY_FUNCTIONS: Final[SchemaNames] = _names(
    voice_put="records",
    voice_spent="day agent user_id",
    voice_feed="session since",
    voice_forget="days mode most",
    voice_export="user_id",
    voice_erase="user_id",
    voice_check="",
)
SHARED_TABLES: Final = ("conversation_sessions", "chat_messages_v2")
"""Tables of the text chat that coaches and learners read, too."""
SERVICE_TABLES: Final = ("voice_agents", "system_api_keys")
"""Tables that only the service reads; they need no policy."""

MIGRATE_HINT: Final = "apply supabase/migrations: `relay migrate --apply postgres://…`"
RELOAD_HINT: Final = "run `notify pgrst, 'reload schema';` in the project's SQL editor"
_KEY_HINT: Final = (
    "set SUPABASE_SERVICE_ROLE_KEY to a secret key (sb_secret_…) or the service_role key of this"
    " project: its dashboard, Settings, API Keys"
)
_ADDRESS_HINT: Final = "set SUPABASE_URL to the project's address, like https://REF.supabase.co"
_UNREACHABLE_HINT: Final = (
    "is SUPABASE_URL right, can this machine reach it, and is the project not paused?"
)
_CLOCK_HINT: Final = "let this machine set its clock by NTP, like `timedatectl set-ntp true`"
_JWT_HINT: Final = (
    "copy the project's JWT secret (its dashboard, Settings, JWT Keys, Legacy JWT Secret), or unset"
    " SUPABASE_JWT_SECRET where its tokens are verified by its key set"
)
_VAULT_HINT: Final = (
    "put the key into the vault (`select vault.create_secret('sk-…', 'openai');`), name it in"
    f" system_api_keys.vault_secret_id of provider_name '{PROVIDER}' with is_active true,"
    " or set OPENAI_API_KEY"
)
_AGENT_HINT: Final = "set DEFAULT_AGENT to the id of a row of the project's table agents"
_NO_AGENT: Final = "callers who name no agent are refused"


_ERROR_FIELDS: Final = {"code", "details", "hint", "message"}


class ProjectUnreachable(Exception):  # noqa: N818 - it is an outcome, not a fault
    """No answer came; the text says why in few words."""


@dataclass(frozen=True, slots=True)
class ProjectAnswer:
    """One answer: HTTP status, Date header or "", and the document, None if it is not JSON."""

    status: int
    date: str
    document: Any

    @property
    def code(self) -> str:
        """The error code of PostgreSQL or PostgREST, "" without one."""
        return self._text("code")

    @property
    def is_error_of_api(self) -> bool:
        """PostgREST's own error; its code is "" while connections to the database break."""
        if self.code.startswith("PGRST"):
            return True
        return isinstance(self.document, Mapping) and self.document.keys() == _ERROR_FIELDS

    @property
    def message(self) -> str:
        """The error's text; not for output, since it may quote the request."""
        return self._text("message")

    @property
    def first_row(self) -> dict[str, object] | None:
        """The first row of a successful query, None without one."""
        rows = self.document if self.status == HTTPStatus.OK else None
        return rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else None

    def _text(self, name: str) -> str:
        found = self.document.get(name) if isinstance(self.document, Mapping) else None
        return found if isinstance(found, str) else ""


class ProjectClient:
    """Sends bounded requests to one project, and keeps what `check_project` learned of it.

    `openapi` is its API's description of itself, `voice_check` that function's answer; both are
    None before `check_project` succeeded, the latter also where the function does not exist.
    """

    def __init__(self, credentials: SupabaseCredentials) -> None:
        self.credentials = credentials
        self.openapi: Mapping[str, Any] | None = None
        self.voice_check: Mapping[str, Any] | None = None

    async def request(
        self, path: str, *, token: str | None = None, body: Mapping[str, Any] | None = None
    ) -> ProjectAnswer:
        """GET a path, or POST a body to it; raises `ProjectUnreachable`.

        `token` replaces the service key as the bearer, to ask in a user's name.
        """
        key = self.credentials.service_key
        headers = {"apikey": key, "Authorization": f"Bearer {token or key}"}
        limit = aiohttp.ClientTimeout(total=SECONDS)
        method = "GET" if body is None else "POST"
        options: dict[str, Any] = {"headers": headers, "json": body, "allow_redirects": False}
        try:
            async with (
                way_out().http_session(timeout=limit) as http,
                http.request(method, self.credentials.url + path, **options) as response,
            ):
                document = _parse(await _read_bounded(response))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ProjectUnreachable(failure_reason(error)) from None
        return ProjectAnswer(response.status, response.headers.get("Date", ""), document)

    async def call(self, function: str, arguments: Mapping[str, Any]) -> ProjectAnswer:
        """Call an SQL function; raises `ProjectUnreachable`."""
        return await self.request(f"/rest/v1/rpc/{function}", body=arguments)


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await read_body(response, MAX_RESPONSE_BYTES)
    except BodyTooLarge:
        raise ProjectUnreachable(f"more than {MAX_RESPONSE_BYTES >> 20} MiB came") from None


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


async def check_project(client: ProjectClient) -> CheckResult:
    """Check address and service key, and keep the project's description for the checks below."""
    wrong = _wrong_key(client.credentials.service_key)
    if wrong is not None:
        return fail(f"SUPABASE_SERVICE_ROLE_KEY is {wrong}", _KEY_HINT)
    url = client.credentials.url
    try:
        root = await client.request("/rest/v1/")
        if not _is_openapi(root):
            return _no_openapi(url, root)
        state = await client.call(VOICE_CHECK, {})
    except ProjectUnreachable as why:
        return fail(f"{url} does not answer: {why}", _UNREACHABLE_HINT)
    client.openapi = root.document
    if state.status == HTTPStatus.OK and isinstance(state.document, Mapping):
        client.voice_check = state.document
    return ok(f"{url} takes the service key")


async def run_project_check(
    client: ProjectClient, check: Callable[[ProjectClient], Awaitable[CheckResult]]
) -> CheckResult:
    """Run one of the checks below, for which `check_project` must have succeeded."""
    if client.openapi is None:
        return skip("the project cannot be asked")
    try:
        return await check(client)
    except ProjectUnreachable as why:
        return fail(f"the project does not answer: {why}", "try again")


def _wrong_key(key: str) -> str | None:
    """Describe a key that is recognizably another kind of key; None if it may be the right one."""
    if key.startswith("sb_publishable_"):
        return "a publishable key, which is for browsers"
    claims = _claims(key)
    role = claims.get("role", "service_role") if claims is not None else "service_role"
    return None if role == "service_role" else f"the key of the role {str(role)[:20]!r}"


def _claims(key: str) -> Mapping[str, Any] | None:
    """The unverified claims of a key of the older kind, which is a JWT; None for another."""
    parts = key.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def _is_openapi(answer: ProjectAnswer) -> bool:
    document = answer.document
    return (
        answer.status == HTTPStatus.OK
        and isinstance(document, Mapping)
        and "swagger" in document
        and isinstance(document.get("paths"), Mapping)
    )


def _no_openapi(url: str, answer: ProjectAnswer) -> CheckResult:
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return fail(f"{url} refuses SUPABASE_SERVICE_ROLE_KEY (HTTP {answer.status})", _KEY_HINT)
    if answer.status == PAUSED:
        return fail(f"the project at {url} is paused", "restore it in its dashboard")
    if answer.is_error_of_api:
        hint = "see the project's status in its dashboard, and its database's logs"
        why = answer.code or f"HTTP {answer.status}"
        return fail(f"the API at {url} cannot use its database ({why})", hint)
    what = f"{url} is not a Supabase project: HTTP {answer.status} at /rest/v1/"
    return fail(what, _ADDRESS_HINT)


async def check_clock(now: Callable[[], float], client: ProjectClient) -> CheckResult:
    """Compare `now`, in Unix seconds, with an answer's date: beyond a leeway tokens are refused."""
    began = now()
    answer = await client.request("/rest/v1/conversation_sessions?select=id&limit=1")
    ended = now()
    try:
        date = parsedate_to_datetime(answer.date).timestamp()
    except ValueError:
        return skip("the project's answers have no date")
    # The date was set between the two, and is cut to whole seconds.
    ahead, behind = began - (date + 1), date - ended
    if max(ahead, behind) > LEEWAY:
        way = f"{ahead:.0f} s ahead of" if ahead > behind else f"{behind:.0f} s behind"
        what = f"this machine's clock is {way} the project's: valid tokens are refused"
        return fail(what, _CLOCK_HINT)
    return ok("this machine and the project agree on the time")


async def check_shared_secret(
    config: JwtConfig, clock: Callable[[], float], client: ProjectClient
) -> CheckResult:
    """Query no rows with a token of an unknown user, signed with the secret of these settings."""
    now = clock()
    caller = Caller(str(uuid.uuid4()), "learner", now + TOKEN_SECONDS)
    token = mint(caller, config.secret or "", now, config.issuer)
    answer = await client.request("/rest/v1/agents?select=id&limit=0", token=token)
    if answer.status != HTTPStatus.UNAUTHORIZED:
        return ok("the project accepts a token that is signed with SUPABASE_JWT_SECRET")
    if "expired" in answer.message or "future" in answer.message:
        return skip("not checked until this machine's clock is right")
    return fail("the project refuses a token that is signed with SUPABASE_JWT_SECRET", _JWT_HINT)


@dataclass(frozen=True, slots=True)
class ProjectSchema:
    """Tables and functions that exist."""

    tables: SchemaNames
    functions: SchemaNames


def api_schema(client: ProjectClient) -> ProjectSchema:
    """The schema in the API's description: tables from its cache, functions as they are."""
    document = client.openapi or {}
    calls = {path: spec for path, spec in document.get("paths", {}).items() if "/rpc/" in path}
    tables = (document.get("definitions") or {}).items()  # a new project has none
    return ProjectSchema(
        {name: frozenset(table.get("properties", ())) for name, table in tables},
        {path.rpartition("/")[2]: _arguments(spec) for path, spec in calls.items()},
    )


def _arguments(spec: Mapping[str, Any]) -> frozenset[str]:
    bodies = (one.get("schema", {}) for one in spec.get("post", {}).get("parameters", ()))
    return frozenset(name for body in bodies for name in body.get("properties", ()))


def database_schema(client: ProjectClient) -> ProjectSchema:
    """The schema as the database reports it, else as the API has it cached."""
    if client.voice_check is None:
        return api_schema(client)
    tables = client.voice_check.get("tables") or {}
    functions = client.voice_check.get("functions") or {}
    return ProjectSchema(
        {name: frozenset(table["columns"]) for name, table in tables.items()},
        {name: frozenset(arguments) for name, arguments in functions.items()},
    )


async def check_api_cache(client: ProjectClient) -> CheckResult:
    """Check that the API's schema cache has what is in the database."""
    unknown = await _not_cached(client)
    if unknown:
        return fail(f"the project's API has not noticed {', '.join(unknown)}", RELOAD_HINT)
    return ok("the project's API knows its database")


async def _not_cached(client: ProjectClient) -> list[str]:
    """Tables, columns and functions of the database that the API does not know."""
    cached, actual = api_schema(client), database_schema(client)
    if client.voice_check is None:
        if VOICE_CHECK not in cached.functions:
            return []
        answer = await client.call(VOICE_CHECK, {})
        return [VOICE_CHECK] if answer.code in UNKNOWN_TO_API else []
    unknown = [name for name in actual.tables if name not in cached.tables]
    unknown += _missing_columns(actual.tables, cached.tables)
    answer = await client.call("voice_put", {"records": []})
    if answer.code in UNKNOWN_TO_API and "voice_put" in actual.functions:
        unknown.append("voice_put")
    return unknown


async def check_chat_tables(client: ProjectClient) -> CheckResult:
    """Check that the text chat's tables exist."""
    if _is_cache_stale(client):
        return _not_yet()
    tables = database_schema(client).tables
    missing = [name for name in CHAT_TABLES if name not in tables]
    if missing:
        what = f"the text chat's tables are missing: {', '.join(missing)}"
        makes = "20261121000100_s3_tables.sql makes what is missing; is it this project?"
        return fail(what, f"{MIGRATE_HINT}: {makes}")
    return ok(f"{len(CHAT_TABLES)} tables are there")


async def check_relay_tables(client: ProjectClient) -> CheckResult:
    """Check that the relay's own tables and functions exist."""
    if _is_cache_stale(client):
        return _not_yet()
    actual = database_schema(client)
    missing = [name for name in RELAY_TABLES if name not in actual.tables]
    missing += [f"{name}()" for name in RELAY_FUNCTIONS if name not in actual.functions]
    if missing:
        return fail(f"the relay's own are missing: {', '.join(missing)}", MIGRATE_HINT)
    return ok(f"{len(RELAY_TABLES)} tables and {len(RELAY_FUNCTIONS)} functions are there")


async def check_schema(client: ProjectClient) -> CheckResult:
    """Check that existing tables and functions have every column and argument."""
    if _is_cache_stale(client):
        return _not_yet()
    actual = database_schema(client)
    old = _missing_columns({**CHAT_TABLES, **RELAY_TABLES}, actual.tables)
    old += [
        f"{name}()"
        for name, arguments in RELAY_FUNCTIONS.items()
        if name in actual.functions and arguments - actual.functions[name]
    ]
    if old:
        return fail(f"the schema is of another version, without {', '.join(old)}", MIGRATE_HINT)
    answer = await client.call("voice_put", {"records": []})
    if "voice_put" in actual.functions and answer.status != HTTPStatus.OK:
        why = answer.code or answer.status
        return fail(f"voice_put() cannot be called: {why}", MIGRATE_HINT)
    return ok("columns and arguments are those of this relay")


def _is_cache_stale(client: ProjectClient) -> bool:
    """Whether `voice_check` exists but cannot be called: the cached tables may be old."""
    return client.voice_check is None and VOICE_CHECK in api_schema(client).functions


def _not_yet() -> CheckResult:
    return skip("not checked until the project's API has noticed them")


def _missing_columns(expected: SchemaNames, actual: SchemaNames) -> list[str]:
    """Every missing `table.column` of the tables that exist."""
    return [
        f"{table}.{column}"
        for table in expected
        if table in actual
        for column in sorted(expected[table] - actual[table])
    ]


async def check_access(client: ProjectClient) -> CheckResult:
    """Check row-level security and policies of every table with utterances, keys or costs."""
    tables = (client.voice_check or {}).get("tables")
    if not isinstance(tables, Mapping):
        return skip(f"not checked: the project has no {VOICE_CHECK}() yet")
    private = {name: tables[name] for name in _private_tables() if name in tables}
    unsecured = [name for name, table in private.items() if not table["secured"]]
    if unsecured:
        sql = " ".join(f"alter table {name} enable row level security;" for name in unsecured)
        return fail(
            f"anybody may read {', '.join(unsecured)}: row-level security is off",
            f"run `{sql}` in the project's SQL editor, or {MIGRATE_HINT}",
        )
    public = [name for name, table in private.items() if table["open"]]
    if public:
        hint = "drop the policy whose condition is `true`: Authentication, Policies"
        return fail(f"a policy lets anybody read all of {', '.join(public)}", hint)
    unreadable = [name for name, table in private.items() if _lacks_policy(name, table)]
    if unreadable:
        what = f"no policy lets learners and coaches read {', '.join(unreadable)}"
        return fail(what, f"{MIGRATE_HINT}: 20261121000300_access.sql makes it")
    return ok(f"row-level security and policies are on for {len(private)} tables")


def _private_tables() -> Iterator[str]:
    yield from SHARED_TABLES
    yield from RELAY_TABLES
    yield "system_api_keys"


def _lacks_policy(name: str, table: Mapping[str, Any]) -> bool:
    """Whether no policy lets coaches read the table; the text chat's policies do not."""
    if name in SERVICE_TABLES:
        return False
    return not any(policy.startswith(RELAY_POLICY) for policy in table["policies"])


async def check_provider_key(own_key: str, client: ProjectClient) -> CheckResult:
    """Look for the provider's key as a session would; `own_key` is the environment's."""
    problem = await _vault_problem(client)
    if problem is None:
        return ok("the project's vault has it")
    if own_key:
        return ok(f"OPENAI_API_KEY is used: {problem}")
    return fail(f"{problem}, and OPENAI_API_KEY is not set", _VAULT_HINT)


async def _vault_problem(client: ProjectClient) -> str | None:
    """Why the vault gives no key, None where it does."""
    query = f"select=*&provider_name=eq.{PROVIDER}&limit=1"
    row = (await client.request(f"/rest/v1/system_api_keys?{query}")).first_row
    if row is None:
        return f"system_api_keys has no row for {PROVIDER}"
    if not row.get("is_active"):
        return f"{PROVIDER}'s row in system_api_keys is not active"
    secret = row.get("vault_secret_id")
    if not isinstance(secret, str) or not secret:
        return f"{PROVIDER}'s row in system_api_keys names no secret"
    return await _secret_problem(client, secret)


async def _secret_problem(client: ProjectClient, secret: str) -> str | None:
    argument = "secret_id" if is_uuid(secret) else "secret_name"
    answer = await client.call("get_secret", {argument: secret})
    if answer.status != HTTPStatus.OK:
        return f"get_secret({argument}) cannot be called ({answer.code or answer.status})"
    return None if key_in(answer.document) else "the vault has no secret of that name"


async def check_default_agent(agent_id: str, client: ProjectClient) -> CheckResult:
    """Read the agent as a session of a caller who names none would."""
    if not is_uuid(agent_id):
        return fail(f"DEFAULT_AGENT is not an agent id of the project: {_NO_AGENT}", _AGENT_HINT)
    agents = await client.request(f"/rest/v1/agents?select=*&id=eq.{agent_id}&limit=1")
    path = f"/rest/v1/voice_agents?select=settings&agent_id=eq.{agent_id}&limit=1"
    voices = await client.request(path)
    if agents.status != HTTPStatus.OK:
        return skip("the project's agents cannot be read")
    row = agents.first_row
    if row is None:
        return fail(f"DEFAULT_AGENT names no agent of the project: {_NO_AGENT}", _AGENT_HINT)
    try:
        agent_of(agent_id, row, (voices.first_row or {}).get("settings", {}))
    except InvalidAgent as invalid:
        hint = f"correct voice_agents.settings of agent {agent_id}, see docs/agents.md"
        return fail(f"the settings of DEFAULT_AGENT are not valid: {invalid}", hint)
    return ok("DEFAULT_AGENT is an agent of the project")
