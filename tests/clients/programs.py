"""`relay serve` before `relay simulate`, as programs of their own, and what they have stored."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cli.program import Program
from tests.clients.conversation import Place
from tests.scenarios.stage import SECRET, SILENCE, SPEECH, token

STORED_SECONDS: Final = 30.0
"""Seconds until the store has what a call said; one is usual."""
TURN: Final = SPEECH + SILENCE
"""What a learner says; it is sent at the pace of sound."""
LONG: Final = " ".join(40 * ["Rhabarber"])
"""Over twenty seconds of an answer, of which nobody hears the end."""
SCRIPT: Final = f"""
heard = ["Good morning."]
pace.burst = 5                            # time enough to speak over the long answer
reply = [
  {{ say = "Good morning to you." }},
  {{ say = "{LONG}" }},
  {{ say = "I am listening." }},
  {{ outputs = [{{ call = "home-weather", arguments = {{ city = "Oslo" }} }}] }},
  {{ say = "Rain in Oslo." }},
]
"""
LOCKED: Final = "locked"
"""The agent whose instructions no client may change."""
AGENTS: Final = f"""
[agents.default]
[agents.{LOCKED}]
instructions = "Be brief."
"""
WORDS: Final = (
    ("user", "Good morning."),
    ("assistant", "Good morning to you."),
    ("user", "Tell me of Barbara."),
    ("assistant", "interrupted"),
    ("user", "Good morning."),
    ("assistant", "I am listening."),
    ("user", "What is the weather in Oslo?"),
    ("assistant", "Rain in Oslo."),
)
"""The conversation as it is stored: who said what, the long answer by what became of it."""
_HAS_TABLES: Final = "SELECT count(*) FROM sqlite_master WHERE name = 'voice_sessions'"
_STORED: Final = """
SELECT c.conversation_id, m.role, json_extract(m.content, '$.text') AS text,
       json_extract(m.metadata, '$.state') AS state
FROM chat_messages_v2 m JOIN conversation_sessions c USING (conversation_id)
WHERE c.user_id = ? ORDER BY c.started_at, json_extract(m.metadata, '$.position')
"""
_CALLS: Final = """
SELECT count(*) FILTER (WHERE ended_at IS NULL), count(*) FROM voice_sessions WHERE user_id = ?
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """One utterance of the store."""

    conversation: str
    role: str
    text: str
    state: str

    @property
    def said(self) -> tuple[str, str]:
        """Who said what; of the long answer, whose cut depends on the time, what became of it."""
        is_cut = LONG.startswith(self.text) and 0 < len(self.text) < len(LONG)
        return self.role, self.state if is_cut else self.text


@dataclass(frozen=True, slots=True)
class Programs:
    """A running relay, whose voice listener is at `port`; everything it keeps is in `folder`."""

    port: int
    folder: Path

    def place(self, sub: str, agent: str | None = None) -> Place:
        """Where this user calls, with a token of their own as the key, for this agent if any."""
        return Place(f"http://127.0.0.1:{self.port}", token(sub, agent_id=agent))

    async def stored(self, sub: str, calls: int = 1) -> list[Stored]:
        """What is stored of a user once so many of their calls are over, in the order of speech."""
        async with asyncio.timeout(STORED_SECONDS):
            while (rows := self._stored(sub, calls)) is None:
                await asyncio.sleep(0.02)  # a file tells nobody that it grew
        return rows

    def _stored(self, sub: str, calls: int) -> list[Stored] | None:
        with closing(sqlite3.connect(self.folder / "state" / "relay.db")) as file:
            if not file.execute(_HAS_TABLES).fetchone()[0]:  # they come with the first delivery
                return None
            open_now, so_far = file.execute(_CALLS, (sub,)).fetchone()
            if open_now or so_far < calls:
                return None
            return [Stored(*row) for row in file.execute(_STORED, (sub,))]


@contextmanager
def programs(folder: Path) -> Iterator[Programs]:
    """Start both and end both."""
    (folder / "script.toml").write_text(SCRIPT)
    (folder / "agents.toml").write_text(AGENTS)
    with Program("simulate", "--port", "0", "--faults", "script.toml", cwd=folder) as provider:
        address = provider.line("A relay uses it with OPENAI_API_KEY=any OPENAI_BASE_URL=")
        settings = {
            "HOST": "127.0.0.1",
            "OPENAI_API_KEY": "sk-simulated-provider-key",
            "OPENAI_BASE_URL": address,
            "RELAY_STORE": "sqlite",
            "RELAY_DATA_DIR": "state",
            "RELAY_AGENTS": "agents.toml",
            "SUPABASE_JWT_SECRET": SECRET,
        }
        with Program("serve", "--port", "0", cwd=folder, **settings) as relay:
            port = relay.logged("ready")["port"]
            assert isinstance(port, int)
            yield Programs(port, folder)
