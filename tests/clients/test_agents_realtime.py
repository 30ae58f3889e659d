"""npm's `@openai/agents-realtime` from Node, unchanged, through the relay."""

import asyncio
import json
from pathlib import Path

from relay.engines.offline.scripted import Script
from tests.components import needs, require
from tests.scenarios.stage import SILENCE, SPEECH, stage, token

PROGRAM = Path(__file__).with_name("agents_turn.mjs")
SCRIPT = Script(heard=("Good morning.",), replies=("Good morning to you.", "In writing, then."))


@needs("agents_realtime")
async def test_a_spoken_and_a_typed_turn_from_node(tmp_path: Path) -> None:
    (tmp_path / "said.pcm").write_bytes(SPEECH + 9 * SILENCE)  # semantic_vad is patient
    async with stage(tmp_path / "relay", SCRIPT) as here:
        url = f"{here.voice}/v1/realtime?model=gpt-realtime-2.1"
        said = str(tmp_path / "said.pcm")
        node = await asyncio.create_subprocess_exec(
            *(str(require("node")), "--input-type=module", "-", url, token(), said),
            cwd=require("agents_realtime"),  # where Node finds the packages
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, err = await node.communicate(PROGRAM.read_bytes())
        assert node.returncode == 0, err.decode()
        seen = json.loads(out)
        assert seen["errors"] == []
        assert seen["audioBytes"] > 24_000
        assert seen["types"].count("response.done") == 2
        assert ["user", "Good morning."] in seen["history"]
        assert ["assistant", "Good morning to you."] in seen["history"]
        assert ["user", "And now in writing."] in seen["history"]
        assert ["assistant", "In writing, then."] in seen["history"]
