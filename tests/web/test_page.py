"""The voice page in a real Chromium with a fake microphone, with a server that the test drives."""

import json
import re

import pytest
from playwright.async_api import expect

from tests.components import needs
from tests.web.chromium import Screen, screen_of
from tests.web.conftest import CONFIG, PAGES, address
from tests.web.far_end import (
    FarEnd,
    answer_begins,
    answer_ends,
    answer_goes_on,
    transcribed,
    user_speaks,
)
from tests.web.sound import loudness, tone

pytestmark = [needs("chromium"), pytest.mark.asyncio(loop_scope="session")]


async def talking(screen: Screen, end: FarEnd) -> None:
    """Open the page, press Talk, and be connected, with the microphone open."""
    await screen.open()
    await screen.page.get_by_role("button", name="Talk").click()
    await end.answer()
    await screen.state("listening")
    await screen.microphone()


async def test_a_spoken_turn_from_the_microphone_to_the_loudspeaker(screen, end):
    await talking(screen, end)

    await end.hear(50)
    assert len(end.audio) == end.appends * 960  # 20 ms of PCM16 at 24 kHz each
    assert loudness(bytes(end.audio)) > 0.01
    level = await screen.page.get_by_role("meter", name="Microphone level").get_attribute(
        "aria-valuenow"
    )
    assert level is not None

    await end.say("input_audio_buffer.speech_started", item_id="U1", audio_start_ms=0)
    await screen.state("hearing")
    await user_speaks(end, "U1", None, "Tell me about my goals.")
    await screen.row("user final", "Tell me about my goals.")
    await answer_begins(end, "R1", "A1", "U1")
    await screen.state("thinking")
    await answer_goes_on(end, "R1", "A1", "What would you ", tone(0.5))
    await screen.state("speaking")
    await screen.row("assistant partial", "What would you")
    await answer_goes_on(end, "R1", "A1", "like to change?", tone(0.5))
    await answer_ends(end, "R1", "A1", "What would you like to change?")

    await screen.state("listening")
    numbers = await screen.numbers()
    assert numbers["played"] == 24000  # to the last sample
    assert numbers["loudest"] == pytest.approx(0.4 / 2**0.5, rel=0.15)
    assert numbers["truncates"] == 0
    assert 0 < numbers["answerMs"] < 20_000
    assert await screen.rows() == [
        ("user final", "Tell me about my goals."),
        ("assistant final", "What would you like to change?"),
    ]
    assert screen.complaints == []
    assert end.events.empty()


async def test_the_token_travels_in_a_subprotocol_and_in_no_address(screen, end):
    await screen.open()
    addresses: list[str] = []
    screen.page.on("request", lambda request: addresses.append(request.url))
    await screen.page.get_by_role("button", name="Talk").click()
    connection = await end.connection()

    assert connection.request is not None
    assert connection.request.path == "/v1/realtime"
    assert connection.request.headers["Sec-WebSocket-Protocol"] == (
        "realtime, relay.v1, openai-insecure-api-key.head.payload.signature"
    )
    assert connection.subprotocol == "realtime"
    assert not [address for address in addresses if "signature" in address]
    assert "signature" not in await screen.page.content()
    assert await screen.page.evaluate("JSON.stringify([localStorage, sessionStorage])") == "[{},{}]"


async def test_no_audio_is_sent_before_the_voice_is_ready(screen, end):
    await screen.open()
    await screen.page.get_by_role("button", name="Talk").click()
    await end.connection()
    await screen.state("connecting")
    await screen.page.wait_for_function(
        "() => Number(document.querySelector('#level').ariaValueNow) > 0"
    )
    assert end.appends == 0
    await end.say("session.created", session={"id": "sess_1", "type": "realtime"})
    await end.hear(5)


async def test_speaking_interrupts_an_answer_that_has_arrived_completely(screen, end):
    """WIRE §2: answers come in bursts, so most barge-ins come after response.done."""
    await talking(screen, end)
    await user_speaks(end, "U1", None, "Tell me a story.")
    await answer_begins(end, "R1", "A1", "U1")
    text = "Once there was a learner who spoke every day and so on and on."
    await answer_goes_on(end, "R1", "A1", text, tone(6))
    await answer_ends(end, "R1", "A1", text)
    await screen.until("numbers.played > 24000")

    await end.say("input_audio_buffer.speech_started", item_id="U2", audio_start_ms=9000)
    truncate = await end.expect("conversation.item.truncate")
    await end.hear(25)  # half a second later …
    played = (await screen.numbers())["played"]

    assert played < 6 * 24000  # … nothing more of it was played
    assert (truncate["item_id"], truncate["content_index"]) == ("A1", 0)
    assert isinstance(truncate["audio_end_ms"], int)
    assert 0 <= played / 24 - truncate["audio_end_ms"] < 300  # what was on its way to the ear
    assert (await screen.numbers())["flushes"] == 1

    heard = truncate["audio_end_ms"]
    await end.say("conversation.item.truncated", item_id="A1", content_index=0, audio_end_ms=heard)
    await screen.row("assistant interrupted", "Once there was")
    row = screen.page.locator("#transcript li.assistant")
    assert await row.locator(".mark").inner_text() == "interrupted"
    assert (await row.locator(".unheard").inner_text()).endswith("on and on.")
    assert end.events.empty()  # and in particular no response.cancel
    assert screen.complaints == []


async def test_speaking_interrupts_an_answer_that_is_still_arriving(screen, end):
    """PROTOCOL §4.4: late audio of the interrupted answer is not played."""
    await talking(screen, end)
    await user_speaks(end, "U1", None, "Tell me a story.")
    await answer_begins(end, "R1", "A1", "U1")
    await answer_goes_on(end, "R1", "A1", "Once there", tone(1))
    await screen.until("numbers.played > 6000")

    await end.say("input_audio_buffer.speech_started", item_id="U2", audio_start_ms=9000)
    await answer_goes_on(end, "R1", "A1", " was a", tone(1))
    await answer_ends(end, "R1", "A1", "Once there was a", status="cancelled")
    truncate = await end.expect("conversation.item.truncate")
    await screen.row("assistant interrupted", "Once there was a")
    await end.hear(25)
    played = (await screen.numbers())["played"]
    assert 0 <= played / 24 - truncate["audio_end_ms"] < 300

    await user_speaks(end, "U2", "A1", "No, another one.")
    await answer_begins(end, "R2", "A2", "U2")
    before = (await screen.numbers())["played"]
    await answer_goes_on(end, "R2", "A2", "Gladly.", tone(0.5))
    await answer_ends(end, "R2", "A2", "Gladly.")
    await screen.until(f"numbers.played === {before} + 12000")
    assert [text for _, text in await screen.rows()] == [
        "Tell me a story.",
        "Once there was a",
        "No, another one.",
        "Gladly.",
    ]


async def test_every_unheard_item_of_an_answer_is_truncated(screen, end):
    """PROTOCOL §5.11: an answer may be several items."""
    await talking(screen, end)
    await answer_begins(end, "R1", "A1", None)
    await answer_goes_on(end, "R1", "A1", "First.", tone(3))
    await answer_begins(end, "R1", "A2", "A1")
    await answer_goes_on(end, "R1", "A2", "Second.", tone(3))
    await screen.state("speaking")
    await end.say("input_audio_buffer.speech_started", item_id="U2", audio_start_ms=9000)
    first = await end.expect("conversation.item.truncate")
    second = await end.expect("conversation.item.truncate")
    assert (first["item_id"], second["item_id"]) == ("A1", "A2")
    assert second["audio_end_ms"] == 0


async def test_speaking_into_silence_interrupts_nothing(screen, end):
    await talking(screen, end)
    await user_speaks(end, "U1", None, "Hello.")
    await answer_begins(end, "R1", "A1", "U1")
    await answer_goes_on(end, "R1", "A1", "Hello.", tone(0.3))
    await answer_ends(end, "R1", "A1", "Hello.")
    await screen.until("numbers.played === 7200")
    await screen.state("listening")
    await user_speaks(end, "U2", "A1", "And again.")
    await screen.row("user final", "And again.")
    await end.hear(5)
    assert end.events.empty()
    assert (await screen.numbers())["flushes"] == 0


async def test_a_late_transcript_finds_its_place(screen, end):
    """PROTOCOL §5.2: the user's words may come after the answer to them."""
    await talking(screen, end)
    await user_speaks(end, "U1", None, None)
    await answer_begins(end, "R1", "A1", "U1")
    await answer_goes_on(end, "R1", "A1", "Yes.", tone(0.1))
    await answer_ends(end, "R1", "A1", "Yes.")
    await screen.row("assistant final", "Yes.")
    await transcribed(end, "U1", "Can you hear me?")
    await screen.row("user final", "Can you hear me?")
    assert [text for _, text in await screen.rows()] == ["Can you hear me?", "Yes."]


async def test_a_written_message_needs_no_microphone(screen, end):
    await screen.open()
    await screen.page.get_by_label("Message").fill("What is a goal?")
    await screen.page.keyboard.press("Enter")
    await end.answer()
    item = (await end.expect("conversation.item.create"))["item"]
    assert item == {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "What is a goal?"}],
    }
    await end.expect("response.create")
    await end.say(
        "conversation.item.added", previous_item_id=None, item={"id": "U1", "status": "x", **item}
    )
    await answer_begins(end, "R1", "A1", "U1")
    await answer_goes_on(end, "R1", "A1", "A wish with a date.", tone(0.2))
    await answer_ends(end, "R1", "A1", "A wish with a date.")
    await screen.until("numbers.played === 4800")
    assert [text for _, text in await screen.rows()] == ["What is a goal?", "A wish with a date."]
    assert end.appends == 0

    await screen.page.get_by_role("button", name="Talk").click()  # and now by voice
    await end.hear(5)
    await screen.page.get_by_role("button", name="Stop").click()
    await screen.state("idle")
    assert screen.complaints == []


async def test_writing_interrupts_too_and_waits_for_the_cancelled_answer(screen, end):
    """PROTOCOL §4.8: response.create before the cancelled response.done is refused."""
    await talking(screen, end)
    await user_speaks(end, "U1", None, "Tell me a story.")
    await answer_begins(end, "R1", "A1", "U1")
    await answer_goes_on(end, "R1", "A1", "Once", tone(2))
    await screen.state("speaking")
    await screen.page.get_by_label("Message").fill("Stop, please.")
    await screen.page.get_by_role("button", name="Send").click()

    kinds = {(await end.expect_any())["type"] for _ in range(3)}
    assert kinds == {
        "conversation.item.create",
        "conversation.item.truncate",
        "response.cancel",
    }
    await answer_ends(end, "R1", "A1", "Once", status="cancelled")
    await end.expect("response.create")
    await end.hear(10)
    assert end.events.empty()


async def test_stop_ends_the_call_and_the_microphone(screen, end):
    await talking(screen, end)
    connection = end.page
    await screen.page.get_by_role("button", name="Stop").click()
    await screen.state("idle")
    await connection.wait_closed()
    assert connection.close_code == 1000
    assert await screen.page.inner_text("#problem") == ""
    before = end.appends
    await screen.page.get_by_role("button", name="Talk").click()  # and another begins
    await end.answer()
    await end.hear(5)
    assert end.appends > before


async def test_an_error_during_a_call_is_shown_and_the_call_continues(screen, end):
    await talking(screen, end)
    benign = {"type": "invalid_request_error", "code": "response_cancel_not_active"}
    await end.say("error", error={**benign, "message": "no active response", "event_id": None})
    odd = {"type": "invalid_request_error", "code": "invalid_value"}
    await end.say("error", error={**odd, "message": "<b>Not</b> that voice.", "event_id": None})
    assert await screen.problem() == "<b>Not</b> that voice."
    await screen.state("listening")
    await end.hear(5)


async def test_unknown_events_change_nothing(screen, end):
    await talking(screen, end)
    for kind in ("__defineGetter__", "toString", "relay.warning", "rate_limits.updated", ""):
        await end.say(kind)
    await user_speaks(end, "U1", None, "Still there?")
    await screen.row("user final", "Still there?")
    assert screen.complaints == []


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        (3000, "invalid_request_error.invalid_api_key", "does not accept this token"),
        (4001, "Unauthorized", "does not accept this token"),
        (1013, "Server at capacity", "is full"),
        (1011, "OpenAI API key not configured", "Ask the operator of the relay"),
        (4999, "Something new", "The call ended: Something new."),
    ],
)
async def test_a_refusal_is_shown_with_advice(screen, end, code, reason, words):
    await screen.open()
    await screen.page.get_by_role("button", name="Talk").click()
    await end.connection()
    await end.hang_up(code, reason)
    assert words in await screen.problem()
    await screen.state("error")
    assert await screen.page.get_by_role("button", name="Talk").is_enabled()


async def test_an_unknown_ending_is_shown_with_the_engines_message(screen, end):
    await screen.open()
    await screen.page.get_by_role("button", name="Talk").click()
    await end.connection()
    error = {"type": "server_error", "code": "odd", "message": "The moon is full."}
    await end.say("error", error=error)
    await end.hang_up(4998, "server_error.odd")
    assert "The moon is full." in await screen.problem()


async def test_a_lost_connection_is_shown_and_the_transcript_stays(screen, end):
    await talking(screen, end)
    await user_speaks(end, "U1", None, "Hello?")
    await answer_begins(end, "R1", "A1", "U1")
    await answer_goes_on(end, "R1", "A1", "I was about", tone(0.2))
    await screen.row("assistant partial", "I was about")
    await end.cut()
    assert "connection was lost" in await screen.problem()
    await screen.row("assistant interrupted", "I was about")
    await screen.row("user final", "Hello?")


async def test_an_unreachable_relay_is_shown_with_its_address(screen, end):
    CONFIG["url"] = "ws://localhost:1/v1/realtime"
    await screen.open()
    await screen.page.get_by_role("button", name="Talk").click()
    problem = await screen.problem()
    assert "cannot be reached at ws://localhost:1/v1/realtime" in problem
    assert screen.site.rstrip("/") in problem


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("NotAllowedError", "The microphone is blocked."),
        ("NotFoundError", "No microphone was found."),
        ("NotReadableError", "The microphone is in use"),
        ("TypeError", "The microphone failed (TypeError)."),
    ],
)
async def test_without_a_microphone_the_page_says_what_to_do(screen, end, error, words):
    await screen.page.add_init_script(
        f"navigator.mediaDevices.getUserMedia = async () => {{"
        f" throw new DOMException('no', '{error}'); }}"
    )
    await screen.open()
    await screen.page.get_by_role("button", name="Talk").click()
    assert words in await screen.problem()
    await screen.state("error")

    await screen.page.get_by_label("Message").fill("Then I write.")
    await screen.page.get_by_role("button", name="Send").click()
    await end.answer()
    await end.expect("conversation.item.create")
    assert await screen.page.inner_text("#problem") == ""


KEPT_MICROPHONE = """
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wishes) => {
  window.microphone = await ask(wishes);
  return window.microphone;
};
window.unplug = () => microphone.getAudioTracks()[0].dispatchEvent(new Event("ended"));
"""


async def test_an_unplugged_microphone_is_reported_and_can_be_opened_again(screen, end):
    await screen.page.add_init_script(KEPT_MICROPHONE)
    await talking(screen, end)
    await screen.page.evaluate("unplug()")
    assert "microphone was disconnected" in await screen.problem()
    before = end.appends
    assert await screen.page.inner_text("#state") == "Connected. Write, or press Talk."
    await screen.page.get_by_role("button", name="Talk").click()
    await end.hear(5)
    assert end.appends > before


async def test_a_microphone_unplugged_while_it_is_opened_is_reported_too(screen, end):
    """The browser says so once, perhaps before the page records from it."""
    await screen.page.add_init_script(KEPT_MICROPHONE)
    await screen.page.add_init_script(
        """const add = AudioWorklet.prototype.addModule;
        AudioWorklet.prototype.addModule = async function (url) {
          await add.call(this, url);
          if (String(url).includes("capture")) unplug();
        };"""
    )
    await screen.open()
    await screen.page.get_by_role("button", name="Talk").click()
    assert "microphone was disconnected" in await screen.problem()
    assert await screen.page.evaluate("relayPage.client") is None, "a spoken call needs one"
    assert end.appends == 0


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ("Object.defineProperty(window, 'isSecureContext', {value: false})", "http://localhost"),
        ("delete window.AudioWorkletNode", "too old"),
    ],
)
async def test_a_browser_that_lacks_something_is_told_what(screen, end, lacking, words):
    await screen.page.add_init_script(lacking)
    await screen.open()
    assert words in await screen.problem()
    assert await screen.page.get_by_role("button", name="Talk").is_disabled()


async def test_the_demonstration_voice_says_what_it_is_and_what_it_understands(screen, end):
    await screen.open()
    before = await screen.page.inner_text("#welcome")
    assert "A small model on this computer answers. It understands English." in before
    await screen.page.get_by_text("Demonstration voice").click()
    about = screen.page.locator("#voice-about")
    larger = about.get_by_text("run Ollama on this machine")
    assert await larger.is_hidden(), "that is for whoever started it"
    await about.get_by_text("For developers").click()
    await larger.wait_for()


async def test_a_larger_model_is_not_called_small(screen, end):
    CONFIG.update(small=False)
    await screen.open()

    said = await screen.page.inner_text("#welcome")
    assert "It understands English." in said
    assert "small model" not in said
    assert not await screen.page.get_by_text("Demonstration voice").is_visible()


async def test_the_page_says_how_far_the_voice_is_and_then_lets_people_talk(screen, end):
    """While the voice is being installed nobody waits for a page, nor reloads it."""
    talk = screen.page.get_by_role("button", name="Talk")
    coming = screen.page.locator("#coming")
    CONFIG.update(engine="echo", voice={"phase": "downloading", "megabytes": 120, "of": 425})
    await screen.open()
    await coming.get_by_text("The voice is being downloaded: 120 of 425 MB").wait_for()
    assert await talk.is_disabled()
    assert await screen.page.locator("#coming progress").evaluate("bar => bar.position") == (
        pytest.approx(120 / 425)
    )
    CONFIG["voice"] = {"phase": "installing", "megabytes": 425, "of": 425}
    await coming.get_by_text("The voice is being installed").wait_for()
    assert await talk.is_disabled()
    CONFIG.update(engine="offline", voice={"phase": "ready", "megabytes": 425, "of": 425})
    await screen.state("idle")
    await expect(talk).to_be_enabled()
    assert await coming.is_hidden()
    assert "It understands English." in await screen.page.inner_text("#welcome")
    await talk.click()
    await end.answer()
    await screen.state("listening")


async def test_without_the_voice_the_page_says_so_and_the_echo_can_be_talked_to(screen, end):
    CONFIG.update(engine="echo", voice={"phase": "failed", "megabytes": 3, "of": 425})
    await screen.open()
    await screen.page.get_by_text("The voice could not be installed.").wait_for()
    assert await screen.page.locator("#coming progress").is_hidden()
    await screen.page.get_by_role("button", name="Talk").click()
    await end.answer()
    await screen.state("listening")


async def test_a_real_voice_has_no_label(screen, end):
    CONFIG["engine"] = "openai"
    await screen.open()
    await screen.state("idle")
    assert not await screen.page.locator("#voice").is_visible()


async def test_away_from_the_relays_machine_the_page_asks_for_address_and_token(screen, end):
    await screen.page.route("**/config.json", lambda route: route.fulfill(status=404))
    await screen.open()
    typed = screen.page.get_by_label("Address")
    await typed.wait_for()
    assert await typed.input_value() == screen.site.replace("http", "ws") + "v1/realtime"
    await screen.page.get_by_role("button", name="Talk").click()
    await screen.state("idle")  # the token is missing: nothing is tried
    await typed.fill(end.url)
    await screen.page.get_by_label("Token").fill("typed.by.hand")
    await screen.page.get_by_role("button", name="Talk").click()
    connection = await end.connection()
    assert connection.request is not None
    assert connection.request.headers["Sec-WebSocket-Protocol"].endswith("typed.by.hand")


def tells_where_the_address_is(words, line):
    """In words for people who have never seen a terminal's inside."""
    assert "whole address" in words
    assert f"begins with “{line}”" in words
    assert not re.search(r"\d|_|json|cookie|config|code|token|http", words, re.IGNORECASE)


async def test_without_the_code_the_page_says_where_its_address_is(browser, site, end):
    async with screen_of(browser, f"http://localhost:{site.port}/") as screen:
        await screen.open()
        tells_where_the_address_is(await screen.problem(), "page")
        assert await screen.page.get_by_role("button", name="Talk").is_disabled()
        assert not await screen.page.get_by_label("Address").is_visible()

        await screen.page.goto(address(site))  # pasted over the page, which loads nothing by itself
        await screen.state("idle")
        assert await screen.page.inner_text("#problem") == ""
        await screen.page.get_by_role("button", name="Talk").click()
        await end.answer()
        await screen.state("listening")


async def test_a_wrong_code_is_answered_alike(browser, site, end):
    async with screen_of(
        browser, f"http://localhost:{site.port}/#code=of-an-earlier-run"
    ) as screen:
        await screen.open()
        tells_where_the_address_is(await screen.problem(), "page")


async def test_the_code_is_used_once_and_stays_in_no_address(screen, end):
    asked: list[str] = []
    screen.page.on("request", lambda request: asked.append(request.url))
    await screen.open()
    await screen.state("idle")
    assert screen.page.url == screen.site
    assert await screen.page.evaluate("history.length") <= 2, "and none goes back to it"
    await screen.page.reload()
    await screen.state("idle")
    assert sum(url.endswith("/code") for url in asked) == 1
    assert not any(PAGES.key.code in url for url in asked if "#" not in url)
    assert await screen.page.evaluate("document.cookie") == "", "no script reads the cookie"


async def test_two_browsers_of_one_run_are_let_in(browser, site, end):
    for _ in range(2):  # each a browser of its own, with nothing of the other's
        async with screen_of(browser, address(site)) as screen:
            await screen.open()
            await screen.state("idle")
            assert screen.complaints == []


async def test_after_a_restart_a_call_is_told_to_open_the_new_address(screen, end):
    await screen.open()
    await screen.state("idle")
    await screen.page.context.clear_cookies()  # what a cookie of an earlier run is worth
    await screen.page.get_by_role("button", name="Talk").click()
    tells_where_the_address_is(await screen.problem(), "page")
    await screen.state("error")


async def test_it_works_from_the_keyboard(screen, end):
    await screen.open()
    await screen.state("idle")
    seen = []
    for _ in range(8):
        await screen.page.keyboard.press("Tab")
        seen.append(await screen.page.evaluate("document.activeElement.id"))
        if seen[-1] == "talk":
            break
    assert seen[-1] == "talk", seen
    await screen.page.keyboard.press("Enter")
    await end.answer()
    await screen.state("listening")
    assert await screen.page.evaluate("document.activeElement.id") == "talk"
    await expect(screen.page.get_by_role("status")).to_have_text("Listening")


async def test_a_final_utterance_is_read_out_once(screen, end):
    await talking(screen, end)
    await user_speaks(end, "U1", None, "Hello.")
    await screen.row("user final", "Hello.")
    spoken = screen.page.locator("[aria-live=polite]#spoken")
    assert (await spoken.inner_text()).strip() == "You: Hello."


CONTRASTS = """() => {
  document.getAnimations().filter((a) => a instanceof CSSTransition).forEach((a) => a.finish());
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => numbers(colour).slice(0, 3)
    .map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (node) => {
    const own = numbers(getComputedStyle(node).backgroundColor);
    return own.length === 4 && own[3] === 0 ? ground(node.parentElement)
      : getComputedStyle(node).backgroundColor;
  };
  const nodes = [...document.querySelectorAll("h1, summary, p, button, .who, .said, .mark, input")];
  return nodes.filter((node) => node.checkVisibility()).map((node) => {
    const [a, b] = [light(getComputedStyle(node).color), light(ground(node))];
    return [node.id || node.className || node.tagName,
      (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_a_small_screen_and_can_be_read(screen, end, scheme):
    await screen.page.emulate_media(color_scheme=scheme)
    await screen.page.set_viewport_size({"width": 360, "height": 640})
    await talking(screen, end)
    await user_speaks(end, "U1", None, "W" * 60 + " a long word and many more " * 4)
    await answer_begins(end, "R1", "A1", "U1")
    await answer_goes_on(end, "R1", "A1", "A long answer, as they are. " * 10, tone(0.1))
    await answer_ends(end, "R1", "A1", "A long answer, as they are. " * 10, "cancelled")
    await screen.row("assistant interrupted", "A long answer")
    assert await screen.page.evaluate("document.documentElement.scrollWidth") <= 360
    for name in ("Stop", "Send"):
        box = await screen.page.get_by_role("button", name=name).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
        assert box["y"] + box["height"] <= 640
        assert box["height"] >= 40  # a finger's width
    contrasts = await screen.page.evaluate(CONTRASTS)
    assert len(contrasts) > 8
    assert [pair for pair in contrasts if pair[1] < 4.5] == []


async def test_without_its_script_the_page_shows_a_notice(browser, site, end):
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"http://localhost:{site.port}/")
    assert "needs JavaScript" in await page.inner_text("main")
    await context.close()


async def test_the_configuration_is_not_shown_in_the_page(screen, end):
    await talking(screen, end)
    shown = json.dumps(await screen.page.evaluate("() => window.relayPage"))
    assert "signature" not in shown
