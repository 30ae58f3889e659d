"""Set-ups with a broken project: the damage to each, and its result in `relay check`."""

from dataclasses import dataclass, field
from typing import Final

OTHER_SECRET: Final = "another project's secret, as long as it has to be"
NOBODY: Final = "44444444-4444-4444-8444-444444444444"
WHAT_COACHES_DID: Final = "voice: coaches read what coaches did"


@dataclass(frozen=True)
class Broken:
    """`part` says `what` and how to `mend` it, after `sql` in the project or other settings."""

    part: str
    what: str
    mend: str
    sql: str = ""
    settings: dict[str, str] = field(default_factory=dict)


BROKEN: Final = {
    "no project at the address": Broken(
        part="project",
        what="nobody listens",
        mend="SUPABASE_URL",
        settings={"SUPABASE_URL": "http://127.0.0.1:8"},
    ),
    "a wrong key": Broken(
        part="project",
        what="refuses SUPABASE_SERVICE_ROLE_KEY",
        mend="sb_secret_…",
        settings={"SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x"},
    ),
    "the key for browsers": Broken(
        part="project",
        what="for browsers",
        mend="sb_secret_…",
        settings={"SUPABASE_SERVICE_ROLE_KEY": "sb_publishable_x"},
    ),
    "no table of the text chat": Broken(
        part="project, chat tables",
        what="chat_messages_v2",
        mend="relay migrate",
        sql="drop table chat_messages_v2 cascade",
    ),
    "no table of ours": Broken(
        part="project, call tables",
        what="voice_usage",
        mend="relay migrate",
        sql="drop table voice_usage cascade",
    ),
    "no function of ours": Broken(
        part="project, call tables",
        what="voice_put()",
        mend="relay migrate",
        sql="drop function voice_put(jsonb)",
    ),
    "an old schema": Broken(
        part="project, schema",
        what="voice_usage.seq",
        mend="relay migrate",
        sql="alter table voice_usage drop column seq",
    ),
    "no row-level security": Broken(
        part="project, readers",
        what="anybody may read voice_usage",
        mend="alter table voice_usage enable row level security;",
        sql="alter table voice_usage disable row level security",
    ),
    "no policy": Broken(
        part="project, readers",
        what="coach_actions",
        mend="20261121000300_access.sql",
        sql=f'drop policy "{WHAT_COACHES_DID}" on coach_actions',
    ),
    "another project's secret": Broken(
        part="project, token secret",
        what="refuses a token",
        mend="Legacy JWT Secret",
        settings={"SUPABASE_JWT_SECRET": OTHER_SECRET},
    ),
    "an agent that is none": Broken(
        part="project, default agent",
        what="no agent of the project",
        mend="set DEFAULT_AGENT",
        settings={"DEFAULT_AGENT": NOBODY},
    ),
}
