"""Whether a project's tables are closed to strangers, and open to learners and their coaches."""

from collections.abc import Iterator, Mapping
from typing import Any

from relay.check.finding import Finding, fail, ok, skip
from relay.check.hosted.asking import CHECK, Hosted
from relay.check.hosted.schema import MIGRATE
from relay.check.hosted.wanted import CALL_TABLES, FOR_THE_SERVICE_ALONE, SHARED

OURS = "voice:"
"""How the names of the relay's own policies begin."""


async def readers(hosted: Hosted) -> Finding:
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
