"""The coach's page in a real Chromium, before sessions that are moved by hand."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from relay.http.api.app import ApiServices
from relay.http.server import Pages
from relay.interfaces import ConversationSummary, SessionStatus
from relay.realtime.grant import Caller, Role
from relay.realtime.records import Record
from relay.realtime.transcript import InterimTranscript
from tests.components import needs
from tests.feed.calls import HEAD, FakeCall, HubWithDisk, again
from tests.http.api.running_api import FakeArchive, FakeAssignments, bearer, verify
from tests.http.listener import listening
from tests.stores.words import LEARNER, MORNING, STRANGER, Call
from tests.web.cable import Cable, cable
from tests.web.chromium import Screen, screen_of
from tests.web.far_end import PATIENCE
from tests.web.test_accessibility import faults

pytestmark = [needs("chromium"), pytest.mark.asyncio(loop_scope="session")]

NOW = msgspec.structs.replace(HEAD, started_at=time.time() - 65)
WORDS = Call(started_at=NOW.started_at)
GOAL = WORDS.user("I want to speak up in meetings.", 1.0)
CUT = WORDS.assistant(
    "That is a good goal. What holds you back?",
    2.0,
    heard_text="That is a good",
    heard_ms=900,
    audio_ms=2600,
    state="interrupted",
)


@dataclass
class Live(FakeCall):
    """A call whose model a coach may silence, and in which one may speak."""

    head: Any = NOW
    who: str | None = None
    silent: bool = False
    used: dict[str, int] = field(default_factory=dict)

    def status(self) -> SessionStatus:
        now = super().status()
        return replace(now, is_paused=self.silent, speaker=self.who, tokens=self.used)

    def execute(self, command: Any) -> Any:
        if self.outcome == "done":
            self.silent = {"pause": True, "resume": False}.get(command.action, self.silent)
        return super().execute(command)


@dataclass
class Desk:
    """The page, the cable that it hangs on, and the sessions behind."""

    screen: Screen
    house: HubWithDisk
    archive: FakeArchive
    cable: Cable

    @property
    def page(self) -> Page:
        return self.screen.page

    async def choose(self, which: str = "#live") -> None:
        await self.page.locator(f"{which} li button").first.click()

    async def rows(self) -> list[str]:
        shown: list[str] = await self.page.locator("#transcript li").evaluate_all(
            "rows => rows.map((row) => row.className + ': ' + row.querySelector('.said').innerText)"
        )
        return shown

    async def shows(self, text: str) -> None:
        await self.page.get_by_text(text).first.wait_for(timeout=PATIENCE * 1000)

    async def stands(self, kind: str, words: str) -> None:
        await self.page.locator(f"#standing[data-kind={kind}]").wait_for(timeout=PATIENCE * 1000)
        assert await self.page.inner_text("#standing") == words

    async def commanded(self, call: FakeCall, action: str) -> Any:
        async with asyncio.timeout(PATIENCE):
            while not call.commands or call.commands[-1].action != action:
                await asyncio.sleep(0.01)
        return call.commands[-1]


def token(role: Role) -> str:
    """A token of Kim's whose characters a subprotocol may have."""
    return bearer("kim", role).replace(":", "~")


async def known(given: str) -> Caller:
    return await verify(given.replace("~", ":"))


@asynccontextmanager
async def sitting(browser: Browser, *, typed: bool = False, **options: Any) -> AsyncIterator[Desk]:
    """The page at its desk; unless it is `typed`, the relay gives it a token, as in development."""
    house, archive = HubWithDisk(), FakeArchive()
    api = ApiServices(
        house.directory, house.hub, known, FakeAssignments(), time.time, archive.services()
    )
    config = {"token": token("admin"), "user_id": "kim"}
    pages = Pages(dict, coach_config=None if typed else lambda: config)
    running = asyncio.create_task(house.hub.run())
    try:
        async with (
            listening(api=api, pages=pages) as server,
            cable(server.port) as line,
            screen_of(browser, f"http://127.0.0.1:{line.port}/coach", **options) as screen,
        ):
            await screen.open()
            yield Desk(screen, house, archive, line)
            house.hub.close()
    finally:
        running.cancel()
        await asyncio.wait({running})


@pytest_asyncio.fixture(loop_scope="session")
async def desk(browser: Browser) -> AsyncIterator[Desk]:
    async with sitting(browser) as desk:
        yield desk
        assert desk.screen.complaints == []


async def test_a_coach_reads_along_what_is_said_and_how_much_was_heard(desk: Desk) -> None:
    call = Live(seq=2, open=[InterimTranscript("item_9", 0, "user", "Well, I")])
    await desk.shows("Nobody is in a call.")
    with desk.house.directory.track(call):
        desk.house.commit(GOAL)
        await desk.choose()
        await desk.shows("Well, I")
        assert await desk.rows() == [
            "learner final: I want to speak up in meetings.",
            "learner open: Well, I",
        ]
        call.open = [InterimTranscript("item_9", 0, "user", "Well, I am shy")]
        await desk.shows("Well, I am shy")
        desk.house.commit(CUT)
        await desk.shows("interrupted after 0.9 s")
        unheard = desk.page.locator("#transcript s.unheard")
        assert "not heard:" in (await unheard.text_content() or ""), "for who cannot see it struck"
        assert "What holds you back?" in (await unheard.text_content() or "")
        places = [row.split(":")[0] for row in await desk.rows()]
        assert places == ["learner final", "model interrupted", "learner open"]


async def test_a_correction_takes_the_place_of_what_it_corrects(desk: Desk) -> None:
    with desk.house.directory.track(Live(seq=2)):
        desk.house.commit(GOAL)
        await desk.choose()
        await desk.shows("I want to speak up")
        desk.house.commit(again(GOAL, 2))
        await desk.shows("meetings., no: 2")
        assert len(await desk.rows()) == 1


async def test_what_belongs_before_is_shown_before(desk: Desk) -> None:
    with desk.house.directory.track(Live(seq=2)):
        late = WORDS.user("First.", 0.5, item_id="item_early", seq=2)
        desk.house.commit(WORDS.user("Second.", 1.0, seq=1))
        await desk.choose()
        await desk.shows("Second.")
        desk.house.commit(late)
        await desk.shows("First.")
        assert [row.split(": ")[1] for row in await desk.rows()] == ["First.", "Second."]


async def test_a_line_that_breaks_comes_back_without_a_gap(desk: Desk) -> None:
    def said(number: int) -> Record:
        return WORDS.user(f"Sentence {number}.", float(number))

    with desk.house.directory.track(
        Live(seq=6, open=[InterimTranscript("item_7", 0, "user", "And so")])
    ):
        desk.house.commit(said(1), said(2))
        await desk.choose()
        await desk.shows("And so")
        desk.cable.pull()
        await desk.shows("Reconnecting …")
        desk.house.commit(said(3), said(4))
        await desk.shows("Sentence 4.")
        await desk.page.locator("#link:empty").wait_for(state="attached")
        desk.house.commit(said(5))
        await desk.shows("Sentence 5.")
        await desk.shows("And so")
        told = [row.split(": ")[1] for row in await desk.rows()]
        assert told == [*(f"Sentence {n}." for n in range(1, 6)), "And so"]
    desk.screen.complaints.clear()  # the browser tells of the connection that was cut


async def test_buttons_and_keys_are_commands(desk: Desk) -> None:
    call = Live()
    with desk.house.directory.track(call):
        await desk.choose()
        await desk.stands("live", "live")
        await desk.page.get_by_role("button", name="Pause").click()
        await desk.stands("paused", "paused")
        await desk.page.keyboard.press("p")
        await desk.stands("live", "live")
        for key, mode, told in (
            ("w", "context", "The learner does not hear it."),
            ("s", "say", "The voice says it next."),
            ("n", None, "Written down, for coaches."),
        ):
            await desk.page.keyboard.press(key)
            await desk.page.keyboard.type("p: slowly")  # while one writes, keys are letters
            await desk.page.keyboard.press("Enter")
            await desk.shows(told)
            await desk.page.keyboard.press("Escape")
            command = await desk.commanded(call, "note" if mode is None else "whisper")
            assert command.text == "p: slowly"
            assert mode is None or command.mode == mode
        await desk.page.keyboard.press("e")
        await desk.page.get_by_role("button", name="Continue the call").click()
        assert "end" not in call.obeyed, "it asks first"
        await desk.page.keyboard.press("e")
        await desk.page.get_by_label("Reason, for the record").fill("Time is up.")
        await desk.page.keyboard.press("Enter")
        assert (await desk.commanded(call, "end")).text == "Time is up."
    await desk.stands("ended", "over")
    assert not await desk.page.locator("#actions").is_visible()
    assert [one for one in call.obeyed if one in ("pause", "resume", "end")] == [
        *("pause", "resume", "end"),
    ]


async def test_keys_can_be_turned_off(desk: Desk) -> None:
    call = Live()
    with desk.house.directory.track(call):
        await desk.choose()
        await desk.stands("live", "live")
        await desk.page.get_by_text("Keys", exact=True).click()
        await desk.page.get_by_role("switch", name="Use single keys").uncheck()
        await desk.page.keyboard.press("Escape")
        await desk.page.keyboard.press("p")
        await desk.page.get_by_role("button", name="Pause").click()
        await desk.stands("paused", "paused")
        assert [command.action for command in call.commands] == ["pause"]


async def test_a_refusal_is_told_in_words(desk: Desk) -> None:
    call = Live(outcome="muted", who="lee")
    with desk.house.directory.track(call):
        await desk.choose()
        await desk.stands("taken", "lee speaks")
        await desk.page.get_by_text("Say next").click()
        await desk.page.get_by_label("Text", exact=True).fill("Hello.")
        await desk.page.get_by_role("button", name="Send").click()
        await desk.shows("The voice is paused or taken over, so it cannot speak.")
        assert await desk.page.input_value("#text") == "Hello.", "nothing that was written is lost"
    # The browser tells of every answer that is no success.
    assert all("409" in line for line in desk.screen.complaints)
    desk.screen.complaints.clear()


async def test_figures_of_this_call(desk: Desk) -> None:
    call = Live(cost=12_300, begun=(1, 640), used={"audio_in": 1200, "text_out": 30})
    with desk.house.directory.track(call):
        await desk.choose()
        await desk.shows("640 ms")
        await desk.shows("$0.0123")
        call.begun, call.cost = (2, 1_250), 45_600
        await desk.shows("1.3 s")
        await desk.shows("$0.0456")
        shapes = desk.page.locator("#plots figure")
        assert await shapes.nth(0).locator("path.mark").count() == 2
        assert await shapes.nth(1).locator("path.mark").count() == 2
        pictures = desk.page.locator("#plots svg")
        assert "640 ms" in (await pictures.nth(0).get_attribute("aria-label") or "")
        await desk.shows("1,200")


async def test_a_voice_without_a_price_says_so(desk: Desk) -> None:
    with desk.house.directory.track(Live(cost=None)):
        await desk.choose()
        await desk.shows("This voice has no price.")


async def test_the_past_of_this_learner_then_everybodys_and_a_summary(desk: Desk) -> None:
    desk.house.disk.store = {one.id: one for one in (GOAL, CUT)}
    desk.archive.stored = [
        ConversationSummary(HEAD.conversation_id, LEARNER, "agent", MORNING, MORNING + 60, 2),
        ConversationSummary(
            "77777777-7777-4777-8777-777777777777", STRANGER, "agent", MORNING, MORNING, 9
        ),
    ]
    await desk.page.reload()
    await desk.page.locator("#past li").nth(1).wait_for()
    await desk.choose("#past")
    await desk.shows("interrupted after 0.9 s")
    await desk.stands("ended", "over")
    assert await desk.page.locator("#past li").count() == 1, "only this learner's"
    await desk.page.get_by_role("button", name="Show everyone's").click()
    await desk.page.locator("#past li").nth(1).wait_for()
    await desk.page.get_by_role("button", name="Summarise").click()
    await desk.shows("chosen by counting words: no text model is configured.")
    await desk.shows("2 said · 1 by the voice · 0 by a coach")
    assert [record.action for record in desk.archive.recorded] == ["summary"]
    await desk.page.reload()
    await desk.shows("interrupted after 0.9 s")  # the address says what was shown


async def test_without_a_token_of_its_own_the_page_asks_for_one(browser: Browser) -> None:
    async with sitting(browser, typed=True) as desk:
        await desk.page.get_by_label("A coach's token").fill(token("coach"))
        with desk.house.directory.track(Live()):
            await desk.page.get_by_role("button", name="Continue").click()
            await desk.choose()
            await desk.stands("live", "live")
        kept = await desk.page.evaluate("JSON.stringify([localStorage, sessionStorage])")
        assert "kim" not in kept


@needs("axe")
@pytest.mark.parametrize(("scheme", "width"), [("light", 1180), ("dark", 360)])
async def test_no_state_of_the_page_has_a_serious_fault(
    browser: Browser, scheme: Any, width: int
) -> None:
    # axe is a script of its own, which the page's own policy forbids.
    size = {"width": width, "height": 740}
    async with sitting(browser, viewport=size, color_scheme=scheme, bypass_csp=True) as desk:
        await desk.shows("Nobody is in a call.")
        assert await faults(desk.screen) == []
        call = Live(
            seq=2, cost=900, begun=(1, 640), open=[InterimTranscript("i9", 0, "user", "Well")]
        )
        with desk.house.directory.track(call):
            desk.house.commit(GOAL, CUT)
            await desk.choose()
            await desk.shows("Well")
            await desk.shows("640 ms")
            assert await desk.page.evaluate("document.documentElement.scrollWidth") <= width
            assert await faults(desk.screen) == []
            call.silent, call.who = True, "lee"
            await desk.stands("taken", "lee speaks, paused")
            desk.house.disk.store = {}
            await desk.page.get_by_role("button", name="Summarise").click()
            await desk.shows("no text model is configured")
            await desk.page.get_by_text("Keys", exact=True).click()
            assert await faults(desk.screen) == []
            await desk.page.keyboard.press("Escape")
            await desk.page.keyboard.press("e")
            await desk.shows("End this call?")
            assert await faults(desk.screen) == []
            await desk.page.get_by_role("button", name="Continue the call").click()
        await desk.stands("ended", "over")
        assert await faults(desk.screen) == []
        assert desk.screen.complaints == []
