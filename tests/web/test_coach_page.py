"""The coach's page in a real Chromium, with sessions that the test drives."""

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

from relay.clock import MachineClock
from relay.http.api.app import ApiServices
from relay.http.pages import Pages
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
    """A call that a coach can pause and take over."""

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
class CoachPage:
    """The page, its connection, and the sessions that it shows."""

    screen: Screen
    feeds: HubWithDisk
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


def printed(port: int, pages: Pages) -> str:
    """The page's address with the code that the terminal shows."""
    return f"http://127.0.0.1:{port}/coach#code={pages.key.code}"


@asynccontextmanager
async def coach_page(
    browser: Browser, *, typed: bool = False, **options: Any
) -> AsyncIterator[CoachPage]:
    """The coach's page; unless it is `typed`, the relay gives it a token, as in development."""
    feeds, archive = HubWithDisk(), FakeArchive()
    api = ApiServices(
        feeds.directory, feeds.hub, known, FakeAssignments(), MachineClock(), archive.services()
    )
    config = {"token": token("admin"), "user_id": "kim"}
    pages = Pages(dict, coach_config=None if typed else lambda: config)
    running = asyncio.create_task(feeds.hub.run())
    try:
        async with (
            listening(api=api, pages=pages) as server,
            cable(server.port) as line,
            screen_of(browser, printed(line.port, pages), **options) as screen,
        ):
            await screen.open()
            yield CoachPage(screen, feeds, archive, line)
            feeds.hub.close()
    finally:
        running.cancel()
        await asyncio.wait({running})


@pytest_asyncio.fixture(loop_scope="session")
async def coach(browser: Browser) -> AsyncIterator[CoachPage]:
    async with coach_page(browser) as coach:
        yield coach
        assert coach.screen.complaints == []


async def test_a_coach_reads_the_transcript_and_how_much_was_heard(coach: CoachPage) -> None:
    call = Live(seq=2, open=[InterimTranscript("item_9", 0, "user", "Well, I")])
    await coach.shows("Nobody is in a call.")
    with coach.feeds.directory.track(call):
        coach.feeds.commit(GOAL)
        await coach.choose()
        await coach.shows("Well, I")
        assert await coach.rows() == [
            "learner final: I want to speak up in meetings.",
            "learner open: Well, I",
        ]
        call.open = [InterimTranscript("item_9", 0, "user", "Well, I am shy")]
        await coach.shows("Well, I am shy")
        coach.feeds.commit(CUT)
        await coach.shows("interrupted after 0.9 s")
        unheard = coach.page.locator("#transcript s.unheard")
        assert "not heard:" in (await unheard.text_content() or ""), "for who cannot see it struck"
        assert "What holds you back?" in (await unheard.text_content() or "")
        places = [row.split(":")[0] for row in await coach.rows()]
        assert places == ["learner final", "model interrupted", "learner open"]


async def test_a_correction_replaces_the_earlier_version(coach: CoachPage) -> None:
    with coach.feeds.directory.track(Live(seq=2)):
        coach.feeds.commit(GOAL)
        await coach.choose()
        await coach.shows("I want to speak up")
        coach.feeds.commit(again(GOAL, 2))
        await coach.shows("meetings., no: 2")
        assert len(await coach.rows()) == 1


async def test_utterances_are_shown_in_conversation_order(coach: CoachPage) -> None:
    with coach.feeds.directory.track(Live(seq=2)):
        late = WORDS.user("First.", 0.5, item_id="item_early", seq=2)
        coach.feeds.commit(WORDS.user("Second.", 1.0, seq=1))
        await coach.choose()
        await coach.shows("Second.")
        coach.feeds.commit(late)
        await coach.shows("First.")
        assert [row.split(": ")[1] for row in await coach.rows()] == ["First.", "Second."]


async def test_a_broken_feed_reconnects_without_a_gap(coach: CoachPage) -> None:
    def said(number: int) -> Record:
        return WORDS.user(f"Sentence {number}.", float(number))

    with coach.feeds.directory.track(
        Live(seq=6, open=[InterimTranscript("item_7", 0, "user", "And so")])
    ):
        coach.feeds.commit(said(1), said(2))
        await coach.choose()
        await coach.shows("And so")
        coach.cable.pull()
        await coach.shows("Reconnecting …")
        coach.feeds.commit(said(3), said(4))
        await coach.shows("Sentence 4.")
        await coach.page.locator("#link:empty").wait_for(state="attached")
        coach.feeds.commit(said(5))
        await coach.shows("Sentence 5.")
        await coach.shows("And so")
        told = [row.split(": ")[1] for row in await coach.rows()]
        assert told == [*(f"Sentence {n}." for n in range(1, 6)), "And so"]
    coach.screen.complaints.clear()  # the browser tells of the connection that was cut


async def test_buttons_and_keys_send_commands(coach: CoachPage) -> None:
    call = Live()
    with coach.feeds.directory.track(call):
        await coach.choose()
        await coach.stands("live", "live")
        await coach.page.get_by_role("button", name="Pause").click()
        await coach.stands("paused", "paused")
        await coach.page.keyboard.press("p")
        await coach.stands("live", "live")
        for key, mode, told in (
            ("w", "context", "The learner does not hear it."),
            ("s", "say", "The voice says it next."),
            ("n", None, "Written down, for coaches."),
        ):
            await coach.page.keyboard.press(key)
            await coach.page.keyboard.type("p: slowly")  # while one writes, keys are letters
            await coach.page.keyboard.press("Enter")
            await coach.shows(told)
            await coach.page.keyboard.press("Escape")
            command = await coach.commanded(call, "note" if mode is None else "whisper")
            assert command.text == "p: slowly"
            assert mode is None or command.mode == mode
        await coach.page.keyboard.press("e")
        await coach.page.get_by_role("button", name="Continue the call").click()
        assert "end" not in call.obeyed, "it asks first"
        await coach.page.keyboard.press("e")
        await coach.page.get_by_label("Reason, for the record").fill("Time is up.")
        await coach.page.keyboard.press("Enter")
        assert (await coach.commanded(call, "end")).text == "Time is up."
    await coach.stands("ended", "over")
    assert not await coach.page.locator("#actions").is_visible()
    assert [one for one in call.obeyed if one in ("pause", "resume", "end")] == [
        *("pause", "resume", "end"),
    ]


async def test_keys_can_be_turned_off(coach: CoachPage) -> None:
    call = Live()
    with coach.feeds.directory.track(call):
        await coach.choose()
        await coach.stands("live", "live")
        await coach.page.get_by_text("Keys", exact=True).click()
        await coach.page.get_by_role("switch", name="Use single keys").uncheck()
        await coach.page.keyboard.press("Escape")
        await coach.page.keyboard.press("p")
        await coach.page.get_by_role("button", name="Pause").click()
        await coach.stands("paused", "paused")
        assert [command.action for command in call.commands] == ["pause"]


async def test_a_refusal_is_told_in_words(coach: CoachPage) -> None:
    call = Live(outcome="muted", who="lee")
    with coach.feeds.directory.track(call):
        await coach.choose()
        await coach.stands("taken", "lee speaks")
        await coach.page.get_by_text("Say next").click()
        await coach.page.get_by_label("Text", exact=True).fill("Hello.")
        await coach.page.get_by_role("button", name="Send").click()
        await coach.shows("The voice is paused or taken over, so it cannot speak.")
        assert await coach.page.input_value("#text") == "Hello.", "nothing that was written is lost"
    # The browser tells of every answer that is no success.
    assert all("409" in line for line in coach.screen.complaints)
    coach.screen.complaints.clear()


async def test_the_figures_of_a_call_are_shown(coach: CoachPage) -> None:
    call = Live(cost=12_300, begun=(1, 640), used={"audio_in": 1200, "text_out": 30})
    with coach.feeds.directory.track(call):
        await coach.choose()
        await coach.shows("640 ms")
        await coach.shows("$0.0123")
        call.begun, call.cost = (2, 1_250), 45_600
        await coach.shows("1.3 s")
        await coach.shows("$0.0456")
        shapes = coach.page.locator("#plots figure")
        assert await shapes.nth(0).locator("path.mark").count() == 2
        assert await shapes.nth(1).locator("path.mark").count() == 2
        pictures = coach.page.locator("#plots svg")
        assert "640 ms" in (await pictures.nth(0).get_attribute("aria-label") or "")
        await coach.shows("1,200")


async def test_a_voice_without_a_price_says_so(coach: CoachPage) -> None:
    with coach.feeds.directory.track(Live(cost=None)):
        await coach.choose()
        await coach.shows("This voice has no price.")


async def test_past_conversations_and_a_summary(coach: CoachPage) -> None:
    coach.feeds.disk.store = {one.id: one for one in (GOAL, CUT)}
    coach.archive.stored = [
        ConversationSummary(HEAD.conversation_id, LEARNER, "agent", MORNING, MORNING + 60, 2),
        ConversationSummary(
            "77777777-7777-4777-8777-777777777777", STRANGER, "agent", MORNING, MORNING, 9
        ),
    ]
    await coach.page.reload()
    await coach.page.locator("#past li").nth(1).wait_for()
    await coach.choose("#past")
    await coach.shows("interrupted after 0.9 s")
    await coach.stands("ended", "over")
    assert await coach.page.locator("#past li").count() == 1, "only this learner's"
    await coach.page.get_by_role("button", name="Show everyone's").click()
    await coach.page.locator("#past li").nth(1).wait_for()
    await coach.page.get_by_role("button", name="Summarise").click()
    await coach.shows("chosen by counting words: no text model is configured.")
    await coach.shows("2 said · 1 by the voice · 0 by a coach")
    assert [record.action for record in coach.archive.recorded] == ["summary"]
    await coach.page.reload()
    await coach.shows("interrupted after 0.9 s")  # the address says what was shown


async def test_without_a_token_of_its_own_the_page_asks_for_one(browser: Browser) -> None:
    async with coach_page(browser, typed=True) as coach:
        await coach.page.get_by_label("A coach's token").fill(token("coach"))
        with coach.feeds.directory.track(Live()):
            await coach.page.get_by_role("button", name="Continue").click()
            await coach.choose()
            await coach.stands("live", "live")
        kept = await coach.page.evaluate("JSON.stringify([localStorage, sessionStorage])")
        assert "kim" not in kept


async def test_without_the_code_the_page_says_where_its_address_is(browser: Browser) -> None:
    async with coach_page(browser) as coach:
        await coach.shows("Nobody is in a call.")
        await coach.page.context.clear_cookies()
        await coach.page.reload()
        await coach.shows("opens with its whole address")
        assert "begins with “coach”" in await coach.page.inner_text("#closed")
        assert not await coach.page.get_by_label("A coach's token").is_visible()

        with coach.feeds.directory.track(Live()):
            await coach.page.goto(coach.screen.url)  # pasted over the page
            await coach.choose()
            await coach.stands("live", "live")
            assert not await coach.page.locator("#closed").is_visible()


@needs("axe")
@pytest.mark.parametrize(("scheme", "width"), [("light", 1180), ("dark", 360)])
async def test_no_state_of_the_page_has_a_serious_fault(
    browser: Browser, scheme: Any, width: int
) -> None:
    # axe is a script of its own, which the page's own policy forbids.
    size = {"width": width, "height": 740}
    async with coach_page(browser, viewport=size, color_scheme=scheme, bypass_csp=True) as coach:
        await coach.shows("Nobody is in a call.")
        assert await faults(coach.screen) == []
        call = Live(
            seq=2, cost=900, begun=(1, 640), open=[InterimTranscript("i9", 0, "user", "Well")]
        )
        with coach.feeds.directory.track(call):
            coach.feeds.commit(GOAL, CUT)
            await coach.choose()
            await coach.shows("Well")
            await coach.shows("640 ms")
            assert await coach.page.evaluate("document.documentElement.scrollWidth") <= width
            assert await faults(coach.screen) == []
            call.silent, call.who = True, "lee"
            await coach.stands("taken", "lee speaks, paused")
            coach.feeds.disk.store = {}
            await coach.page.get_by_role("button", name="Summarise").click()
            await coach.shows("no text model is configured")
            await coach.page.get_by_text("Keys", exact=True).click()
            assert await faults(coach.screen) == []
            await coach.page.keyboard.press("Escape")
            await coach.page.keyboard.press("e")
            await coach.shows("End this call?")
            assert await faults(coach.screen) == []
            await coach.page.get_by_role("button", name="Continue the call").click()
        await coach.stands("ended", "over")
        assert await faults(coach.screen) == []
        assert coach.screen.complaints == []
