"""Whether there is a Supabase project at the address, and whether it takes the service key."""

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
from relay.check.proxy import reason
from relay.check.runner import CheckResult, fail, ok, skip
from relay.interfaces import SupabaseCredentials
from relay.realtime.grant import Caller
from relay.stores.supabase.config import PROVIDER, agent_of, key_in
from relay.stores.supabase.store import is_uuid

# ---- A project as it answers its service key: one bounded question at a time.

SECONDS: Final = 5.0
"""For one question, connecting included; `probe.reason` tells the same number."""
MAX_ANSWER: Final = 8 * 1024 * 1024
"""Bytes of an answer: a description of some hundred tables has one or two million."""
CHECK: Final = "voice_check"
"""The function of `supabase/migrations` that says how the database stands."""


class ProjectUnreachable(Exception):  # noqa: N818 - it is an outcome, not a fault
    """Nothing came back; the text says why in few words."""


@dataclass(frozen=True, slots=True)
class ProjectAnswer:
    """What came back: HTTP's status and date, and the JSON document, None where it was none."""

    status: int
    date: str
    document: Any

    @property
    def code(self) -> str:
        """PostgreSQL's or PostgREST's, "" where there is none."""
        return self._text("code")

    @property
    def message(self) -> str:
        """The error's text: for looking at, not for telling, since it may quote what was asked."""
        return self._text("message")

    def _text(self, name: str) -> str:
        found = self.document.get(name) if isinstance(self.document, Mapping) else None
        return found if isinstance(found, str) else ""


class ProjectClient:
    """One project during one check.

    `description` is what its API says of itself (OpenAPI), None until the first look has it: then
    the looks that come after it have nobody to ask. `live` is `voice_check`'s answer.
    """

    def __init__(self, access: SupabaseCredentials) -> None:
        self.access = access
        self.description: ProjectAnswer | None = None
        self.live: Mapping[str, Any] | None = None

    async def ask(
        self, path: str, *, token: str | None = None, body: Mapping[str, Any] | None = None
    ) -> ProjectAnswer:
        """GET a path, or POST to it where there is a body; raises NoAnswer.

        `token` is somebody else's, in whose name the project is asked.
        """
        key = self.access.service_key
        headers = {"apikey": key, "Authorization": f"Bearer {token or key}"}
        limit = aiohttp.ClientTimeout(total=SECONDS)
        method = "GET" if body is None else "POST"
        options: dict[str, Any] = {"headers": headers, "json": body, "allow_redirects": False}
        try:
            async with (
                aiohttp.ClientSession(timeout=limit, cookie_jar=aiohttp.DummyCookieJar()) as http,
                http.request(method, self.access.url + path, **options) as answer,
            ):
                document = _read(await _body(answer))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ProjectUnreachable(reason(error)) from None
        return ProjectAnswer(answer.status, answer.headers.get("Date", ""), document)

    async def call(self, function: str, arguments: Mapping[str, Any]) -> ProjectAnswer:
        """What an SQL function answers; raises NoAnswer."""
        return await self.ask(f"/rest/v1/rpc/{function}", body=arguments)


async def of(
    hosted: ProjectClient, look: Callable[[ProjectClient], Awaitable[CheckResult]]
) -> CheckResult:
    """One more look at a project that answered the first one."""
    if hosted.description is None:
        return skip("the project cannot be asked")
    try:
        return await look(hosted)
    except ProjectUnreachable as why:
        return fail(f"the project does not answer: {why}", "try again")


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > MAX_ANSWER:
            raise ProjectUnreachable(f"more than {MAX_ANSWER >> 20} MiB came")
    return bytes(body)


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


# ---- The tables, columns and functions that the relay uses in a project, by name.

Names = Mapping[str, frozenset[str]]
"""Tables with their columns, or functions with their arguments."""


def _names(**parts: str) -> dict[str, frozenset[str]]:
    return {name: frozenset(listed.split()) for name, listed in parts.items()}


CHAT_TABLES: Final[Names] = _names(
    agents="id",
    conversation_sessions="id conversation_id user_id agent_id title started_at last_active"
    " message_count session_state status",
    chat_messages_v2="id conversation_id session_id sender_user_id sender_agent_id role content"
    " metadata created_at updated_at",
    system_api_keys="provider_name vault_secret_id is_active",
)
"""Those of the text chat; the relay shares them."""

CALL_TABLES: Final[Names] = _names(
    voice_sessions="id conversation_id user_id agent_id model voice door engine started_at ended_at"
    " ending seq",
    voice_usage="id conversation_id user_id agent_id voice_session_id model day seq text_in"
    " text_cached text_out audio_in audio_cached audio_out image_in image_cached reasoning"
    " milliseconds cost_micro",
    coach_assignments="coach_id learner_id created_at",
    coach_actions="id session_id conversation_id coach_id action details at",
    voice_agents="agent_id settings updated_at",
)
"""The relay's own."""

CALL_FUNCTIONS: Final[Names] = _names(
    voice_put="records",
    voice_spent="day agent user_id",
    voice_feed="session since",
    voice_forget="days mode most",
    voice_export="user_id",
    voice_erase="user_id",
    voice_check="",
)
SHARED: Final = ("conversation_sessions", "chat_messages_v2")
"""Tables of the text chat that coaches and learners read, too."""
FOR_THE_SERVICE_ALONE: Final = ("voice_agents", "system_api_keys")
"""They need no policy: nobody but the service reads them."""

PAUSED: Final = 540
_KEY: Final = (
    "set SUPABASE_SERVICE_ROLE_KEY to a secret key (sb_secret_…) or the service_role key of this"
    " project: its dashboard, Settings, API Keys"
)
_ADDRESS: Final = "set SUPABASE_URL to the project's address, like https://REF.supabase.co"
_REACH: Final = "is SUPABASE_URL right, may this machine reach it, and is the project not paused?"


async def project(hosted: ProjectClient) -> CheckResult:
    """Ask the project's API what it is; later looks go on from its answer."""
    wrong = _wrong_key(hosted.access.service_key)
    if wrong is not None:
        return fail(f"SUPABASE_SERVICE_ROLE_KEY is {wrong}", _KEY)
    url = hosted.access.url
    try:
        said = await hosted.ask("/rest/v1/")
        if not _is_description(said):
            return _refused(url, said)
        hosted.description = said
        live = await hosted.call(CHECK, {})
    except ProjectUnreachable as why:
        hosted.description = None
        return fail(f"{url} does not answer: {why}", _REACH)
    if live.status == HTTPStatus.OK and isinstance(live.document, Mapping):
        hosted.live = live.document
    return ok(f"{url} takes the service key")


def _wrong_key(key: str) -> str | None:
    """What a key is that can be told from its looks to be another one."""
    if key.startswith("sb_publishable_"):
        return "a publishable key, which is for browsers"
    claims = _claims(key)
    role = claims.get("role", "service_role") if claims is not None else "service_role"
    return None if role == "service_role" else f"the key of the role {str(role)[:20]!r}"


def _claims(key: str) -> Mapping[str, Any] | None:
    """What an old key says of itself, None for one that is no token."""
    parts = key.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def _is_description(said: ProjectAnswer) -> bool:
    """PostgREST's, of all that the key may use."""
    document = said.document
    return (
        said.status == HTTPStatus.OK
        and isinstance(document, Mapping)
        and "swagger" in document
        and isinstance(document.get("paths"), Mapping)
    )


def _refused(url: str, said: ProjectAnswer) -> CheckResult:
    """Why an answer is no description."""
    if said.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return fail(f"{url} refuses SUPABASE_SERVICE_ROLE_KEY (HTTP {said.status})", _KEY)
    if said.status == PAUSED:
        return fail(f"the project at {url} is paused", "restore it in its dashboard")
    if said.code.startswith("PGRST"):
        mend = "see the project's status in its dashboard, and its database's logs"
        return fail(f"the API at {url} cannot use its database ({said.code})", mend)
    return fail(f"{url} is no Supabase project: HTTP {said.status} at /rest/v1/", _ADDRESS)


# ---- Whether the provider's key can be had: from the project's vault, else from the environment.

_ROW: Final = f"/rest/v1/system_api_keys?select=*&provider_name=eq.{PROVIDER}&limit=1"
_PUT_IT_THERE: Final = (
    "put the key into the vault (`select vault.create_secret('sk-…', 'openai');`), name it in"
    f" system_api_keys.vault_secret_id of provider_name '{PROVIDER}' with is_active true,"
    " or set OPENAI_API_KEY"
)


async def provider_key(own_key: str, hosted: ProjectClient) -> CheckResult:
    """Look for the key as a call would; `own_key` is the environment's."""
    lacking = await _lacking(hosted)
    if lacking is None:
        return ok("the project's vault has it")
    if own_key:
        return ok(f"OPENAI_API_KEY is used: {lacking}")
    return fail(f"{lacking}, and OPENAI_API_KEY is not set", _PUT_IT_THERE)


async def _lacking(hosted: ProjectClient) -> str | None:
    """Why the vault has no key for us, None where it has."""
    said = await hosted.ask(_ROW)
    rows = said.document if said.status == HTTPStatus.OK else None
    if not isinstance(rows, list) or not rows:
        return f"system_api_keys has no row for {PROVIDER}"
    if not rows[0].get("is_active"):
        return f"{PROVIDER}'s row in system_api_keys is not active"
    secret = rows[0].get("vault_secret_id")
    if not isinstance(secret, str) or not secret:
        return f"{PROVIDER}'s row in system_api_keys names no secret"
    return await _lacking_secret(hosted, secret)


async def _lacking_secret(hosted: ProjectClient, secret: str) -> str | None:
    named = "secret_id" if is_uuid(secret) else "secret_name"
    said = await hosted.call("get_secret", {named: secret})
    if said.status != HTTPStatus.OK:
        return f"get_secret({named}) cannot be called ({said.code or said.status})"
    return None if key_in(said.document) else "the vault has no secret of that name"


# ---- Whether callers who name no agent get one: DEFAULT_AGENT is an agent of the project.

_MEND: Final = "set DEFAULT_AGENT to the id of a row of the project's table agents"
_REFUSED: Final = "callers who name no agent are refused"


async def default_agent(agent_id: str, hosted: ProjectClient) -> CheckResult:
    """Read the agent as a call would."""
    if not is_uuid(agent_id):
        return fail(f"DEFAULT_AGENT is no id of the project's agents: {_REFUSED}", _MEND)
    agents = await hosted.ask(f"/rest/v1/agents?select=*&id=eq.{agent_id}&limit=1")
    path = f"/rest/v1/voice_agents?select=settings&agent_id=eq.{agent_id}&limit=1"
    voices = await hosted.ask(path)
    if agents.status != HTTPStatus.OK:
        return skip("the project's agents cannot be read")
    row = _first(agents)
    if row is None:
        return fail(f"DEFAULT_AGENT is no agent of the project: {_REFUSED}", _MEND)
    try:
        agent_of(agent_id, row, (_first(voices) or {}).get("settings", {}))
    except InvalidAgent as bad:
        mend = f"mend voice_agents.settings of agent {agent_id}, see docs/agents.md"
        return fail(f"the settings of DEFAULT_AGENT are none: {bad}", mend)
    return ok("DEFAULT_AGENT is an agent of the project")


def _first(said: ProjectAnswer) -> dict[str, object] | None:
    rows = said.document if said.status == HTTPStatus.OK else None
    return rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else None


# ---- Whether the secret that verifies tokens here is the one that the project signs them with.

SECRET_SECONDS: Final = 60.0
"""How long the token lives that is tried."""
_QUESTION: Final = "/rest/v1/agents?select=id&limit=0"
_MEND_SHARED: Final = (
    "copy the project's JWT secret (its dashboard, Settings, JWT Keys, Legacy JWT Secret), or unset"
    " SUPABASE_JWT_SECRET where its tokens are verified by its key set"
)


async def shared_secret(
    trust: JwtConfig, clock: Callable[[], float], hosted: ProjectClient
) -> CheckResult:
    """Ask the project for nothing, in the name of nobody, with a token of our own."""
    now = clock()
    nobody = Caller(str(uuid.uuid4()), "learner", now + SECRET_SECONDS)
    token = mint(nobody, trust.secret or "", now, trust.issuer)
    said = await hosted.ask(_QUESTION, token=token)
    if said.status != HTTPStatus.UNAUTHORIZED:
        return ok("the project believes a token that is signed with SUPABASE_JWT_SECRET")
    if "expired" in said.message or "future" in said.message:
        return skip("not before this machine's clock is right")
    return fail("the project refuses a token that is signed with SUPABASE_JWT_SECRET", _MEND_SHARED)


# ---- Whether this machine and the project agree on the time; beyond a leeway tokens are refused.

_MEND_CLOCK: Final = "let this machine set its clock by NTP, like `timedatectl set-ntp true`"


async def clock(now: Callable[[], float], hosted: ProjectClient) -> CheckResult:
    """Compare `now`, in Unix seconds, with the date of an answer."""
    began = now()
    said = await hosted.ask("/rest/v1/conversation_sessions?select=id&limit=1")
    ended = now()
    try:
        told = parsedate_to_datetime(said.date).timestamp()
    except ValueError:
        return skip("the project's answers have no date")
    # It was written between the two, and has no fraction of a second.
    ahead, behind = began - (told + 1), told - ended
    if max(ahead, behind) > LEEWAY:
        way = f"{ahead:.0f} s ahead of" if ahead > behind else f"{behind:.0f} s behind"
        return fail(
            f"this machine's clock is {way} the project's: good tokens are refused", _MEND_CLOCK
        )
    return ok("this machine and the project agree on the time")


# ---- Whether a project's database is as the relay needs it, and whether its API has noticed.

NOT_FOUND: Final = ("PGRST202", "PGRST203", "PGRST204", "PGRST205")
"""Codes by which the API says that it knows no such function, column or table."""
MIGRATE: Final = "apply supabase/migrations: `relay migrate --apply postgres://…`"
RELOAD: Final = "run `notify pgrst, 'reload schema';` in the project's SQL editor"


@dataclass(frozen=True, slots=True)
class ProjectSchema:
    """What there is, by name."""

    tables: Names
    functions: Names


def described(hosted: ProjectClient) -> ProjectSchema:
    """As the API describes it: tables as it remembers them, functions as they are."""
    document = hosted.description.document if hosted.description is not None else {}
    paths = {name: way for name, way in document.get("paths", {}).items() if "/rpc/" in name}
    tables = (document.get("definitions") or {}).items()  # a new project has none
    return ProjectSchema(
        {name: frozenset(table.get("properties", ())) for name, table in tables},
        {name.rpartition("/")[2]: _arguments(way) for name, way in paths.items()},
    )


def _arguments(way: Mapping[str, Any]) -> frozenset[str]:
    bodies = (one.get("schema", {}) for one in way.get("post", {}).get("parameters", ()))
    return frozenset(name for body in bodies for name in body.get("properties", ()))


def standing(hosted: ProjectClient) -> ProjectSchema:
    """As the database itself says it, or the API where nobody has told that function to it yet."""
    if hosted.live is None:
        return described(hosted)
    tables, functions = hosted.live.get("tables") or {}, hosted.live.get("functions") or {}
    return ProjectSchema(
        {name: frozenset(table["columns"]) for name, table in tables.items()},
        {name: frozenset(arguments) for name, arguments in functions.items()},
    )


async def cache(hosted: ProjectClient) -> CheckResult:
    """Look whether the API knows what is in the database: it remembers the schema."""
    unknown = await _forgotten(hosted)
    if unknown:
        return fail(f"the project's API has not noticed {', '.join(unknown)}", RELOAD)
    return ok("the project's API knows its database")


async def _forgotten(hosted: ProjectClient) -> list[str]:
    """What the database has and the API does not know."""
    seen, there = described(hosted), standing(hosted)
    if hosted.live is None:
        if CHECK not in seen.functions:
            return []
        said = await hosted.call(CHECK, {})
        return [CHECK] if said.code in NOT_FOUND else []
    unknown = [name for name in there.tables if name not in seen.tables]
    unknown += _parts(there.tables, seen.tables)
    said = await hosted.call("voice_put", {"records": []})
    if said.code in NOT_FOUND and "voice_put" in there.functions:
        unknown.append("voice_put")
    return unknown


async def chat_tables(hosted: ProjectClient) -> CheckResult:
    """Look for the tables of the text chat."""
    if (untold := _untold(hosted)) is not None:
        return untold
    there = standing(hosted)
    missing = [name for name in CHAT_TABLES if name not in there.tables]
    if missing:
        mend = f"{MIGRATE}: 20261121000100_s3_tables.sql makes what is missing; is it this project?"
        return fail(f"the text chat's tables are missing: {', '.join(missing)}", mend)
    return ok(f"{len(CHAT_TABLES)} tables are there")


async def call_tables(hosted: ProjectClient) -> CheckResult:
    """Look for the relay's own tables and functions."""
    if (untold := _untold(hosted)) is not None:
        return untold
    there = standing(hosted)
    missing = [name for name in CALL_TABLES if name not in there.tables]
    missing += [f"{name}()" for name in CALL_FUNCTIONS if name not in there.functions]
    if missing:
        return fail(f"the relay's own are missing: {', '.join(missing)}", MIGRATE)
    return ok(f"{len(CALL_TABLES)} tables and {len(CALL_FUNCTIONS)} functions are there")


async def schema(hosted: ProjectClient) -> CheckResult:
    """Look whether all that is there has every column and argument."""
    if (untold := _untold(hosted)) is not None:
        return untold
    there = standing(hosted)
    old = [
        *_parts({**CHAT_TABLES, **CALL_TABLES}, there.tables),
        *(f"{name}()" for name in _old(CALL_FUNCTIONS, there.functions)),
    ]
    if old:
        return fail(f"the schema is of another version, without {', '.join(old)}", MIGRATE)
    said = await hosted.call("voice_put", {"records": []})
    if "voice_put" in there.functions and said.status != HTTPStatus.OK:
        return fail(f"voice_put() cannot be called: {said.code or said.status}", MIGRATE)
    return ok("columns and arguments are those of this relay")


def _untold(hosted: ProjectClient) -> CheckResult | None:
    """Nothing can be said of tables that the API has not noticed."""
    stale = hosted.live is None and CHECK in described(hosted).functions
    return skip("not before the project's API has noticed them") if stale else None


def _parts(wanted: Names, there: Names) -> list[str]:
    """Every `table.column` that is wanted and missing, of tables that are there."""
    return [
        f"{table}.{column}"
        for table in wanted
        if table in there
        for column in sorted(wanted[table] - there[table])
    ]


def _old(wanted: Names, there: Names) -> list[str]:
    return [name for name in wanted if name in there and wanted[name] - there[name]]


# ---- Whether a project's tables are closed to strangers, and open to learners and their coaches.

OURS = "voice:"
"""How the names of the relay's own policies begin."""


async def readers(hosted: ProjectClient) -> CheckResult:
    """Look at row-level security and at the policies of every table with words, keys or costs."""
    tables = (hosted.live or {}).get("tables")
    if not isinstance(tables, Mapping):
        return skip(f"not looked at: the project has no {CHECK}() yet")
    private = {name: tables[name] for name in _private() if name in tables}
    naked = [name for name, table in private.items() if not table["secured"]]
    if naked:
        lines = " ".join(f"alter table {name} enable row level security;" for name in naked)
        return fail(
            f"anybody may read {', '.join(naked)}: row-level security is off",
            f"run `{lines}` in the project's SQL editor, or {MIGRATE}",
        )
    wide = [name for name, table in private.items() if table["open"]]
    if wide:
        mend = "drop the policy whose condition is `true`: Authentication, Policies"
        return fail(f"a policy lets anybody read all of {', '.join(wide)}", mend)
    mute = [name for name, table in private.items() if _is_mute(name, table)]
    if mute:
        what = f"no policy lets learners and coaches read {', '.join(mute)}"
        return fail(what, f"{MIGRATE}: 20261121000300_access.sql makes it")
    return ok(f"row-level security and policies are on for {len(private)} tables")


def _private() -> Iterator[str]:
    yield from SHARED
    yield from CALL_TABLES
    yield "system_api_keys"


def _is_mute(name: str, table: Mapping[str, Any]) -> bool:
    """Whether those cannot read it who should: the text chat's policies know no coaches."""
    if name in FOR_THE_SERVICE_ALONE:
        return False
    return not any(policy.startswith(OURS) for policy in table["policies"])
