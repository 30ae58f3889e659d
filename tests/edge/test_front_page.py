"""The page in Chromium, from nginx, with TLS and the headers that production has."""

from pathlib import Path

from relay.parts.simple import Script
from tests.components import needs
from tests.edge.front import in_front
from tests.scenarios.stage import stage, token
from tests.web.chromium import Screen, chromium
from tests.web.sound import syllables

pytestmark = needs("nginx", "chromium")


async def test_the_page_asks_for_a_token_and_then_talks(tmp_path: Path) -> None:
    script = Script(heard=("Good morning.",), replies=("And to you.",))
    spoken = syllables(tmp_path / "spoken.wav", pause=5)
    async with (
        stage(tmp_path, script, burst=5) as here,
        in_front(here.app.listener.port, here.app.http.port) as front,
        chromium(spoken) as browser,
    ):
        context = await browser.new_context(ignore_https_errors=True)  # its certificate is ours
        screen = Screen(await context.new_page(), front.url + "/")
        complaints = screen.complaints
        screen.page.on("pageerror", lambda error: complaints.append(str(error)))
        await screen.open()
        await screen.state("idle")
        address = await screen.page.get_by_label("Address").input_value()
        assert address == f"wss://127.0.0.1:{front.ports.tls}/v1/realtime"
        await screen.page.get_by_label("Token").fill(token())
        await screen.page.get_by_role("button", name="Talk").click()
        await screen.row("user final", "Good morning.")
        await screen.row("assistant final", "And to you.")
        numbers = await screen.numbers()
        assert numbers["played"] > 0
        assert numbers["loudest"] > 0.05
        assert complaints == []
        await context.close()
        await here.emptied()
