"""A call whose engine has too much waiting in the relay ends, and the caller is told why."""

from pathlib import Path

import pytest

from relay.realtime.endings import OUT_OF_MEMORY
from relay.websocket.open_sockets import open_sockets
from tests.scenarios.by_hand import browser, client, openai, provided
from tests.scenarios.stage import new_id
from tests.websocket.ends import TEXT

MIB = 1024 * 1024
TOLD = (1013, "Server at capacity")


@pytest.mark.parametrize("door", ["openai", "browser"])
async def test_the_call_whose_engine_holds_most_ends_with_1013_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    """Half a message of 3 MiB waits for its other half, where 2 MiB may wait in all."""
    target = openai() if door == "openai" else browser(conversation_id=new_id())
    async with (
        provided(tmp_path) as (here, provider),
        client(here, target) as end,
        client(here, openai("bob")) as other,
    ):
        await end.until("session.created")
        await other.until("session.created")
        monkeypatch.setattr(open_sockets(), "bound", 2 * MIB)
        engine = await provider.call("ada")
        engine.write(TEXT, b"x" * 3 * MIB, fin=False)
        assert await end.ended() == TOLD
        await engine.ended()
        if door == "openai":
            told = end.events[-1]["error"]
            assert (told["code"], told["message"]) == ("at_capacity", OUT_OF_MEMORY.advice)
        assert not other.gone.is_set()
        other.send({"type": "response.create"})
        await (await provider.call("bob")).until("response.create")


async def test_an_engine_that_says_so_itself_went_away(tmp_path: Path) -> None:
    async with provided(tmp_path) as (here, provider), client(here, openai()) as end:
        await end.until("session.created")
        (await provider.call()).say_goodbye(*TOLD)
        assert await end.ended() == (1011, "OpenAI connection closed")
