"""A call of an agent that wants no word written: followed live, and then it was never said."""

import dataclasses
import sqlite3
from contextlib import closing
from pathlib import Path

from relay.agents.config import load_agents
from relay.app import running
from relay.parts.simple import Script, scripted_parts
from relay.simulator import SimulatorOptions, simulate
from tests.scenarios.stage import Stage, loaded

AGENTS = """
[agents.confidant]
store_text = false

[agents.tutor]
"""
SCRIPT = Script(heard=("It is about rhubarb.",), replies=("Never mind the celery.",))


async def talked(folder: Path, agent: str) -> bytes:
    """Every byte that a call with this agent leaves on the disk, while and after it lasts."""
    file = folder / "agents.toml"
    file.write_text(AGENTS)
    data = folder / "data"
    async with await simulate(SimulatorOptions(parts=scripted_parts(SCRIPT))) as simulator:
        given = {"openai_api_key": "sk-simulated", "openai_base_url": simulator.base_url}
        set_up = loaded(data, relay_engine="openai", **given)
        known = dataclasses.replace(set_up, agents=load_agents(file))
        async with running(known) as app:
            here = Stage(app, simulator, folder)
            async with here.openai_client(f"?agent_id={agent}") as line:
                await line.speak()
                await line.until("response.done")
                during = all_bytes(data)
    return during + all_bytes(data)


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def count(folder: Path, table: str) -> int:
    with closing(sqlite3.connect(folder / "data" / "relay.db")) as connection:
        (many,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    return int(many)


async def test_no_word_is_on_the_disk_and_the_call_is(tmp_path: Path) -> None:
    content = await talked(tmp_path, "confidant")

    assert b"rhubarb" not in content
    assert b"celery" not in content
    assert count(tmp_path, "chat_messages_v2") == count(tmp_path, "conversation_sessions") == 0
    assert count(tmp_path, "voice_sessions") == 1
    assert count(tmp_path, "voice_usage") >= 1


async def test_any_other_agents_words_are(tmp_path: Path) -> None:
    content = await talked(tmp_path, "tutor")

    assert b"rhubarb" in content
    assert b"celery" in content
    assert count(tmp_path, "chat_messages_v2") == 2
