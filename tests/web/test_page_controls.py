"""The voice page's controls, and its display of a coach, a lost connection and the budget."""

import pytest

from tests.components import needs
from tests.web.chromium import Screen
from tests.web.far_end import FarEnd, answer_begins, answer_ends, answer_goes_on, user_speaks
from tests.web.sound import tone

pytestmark = [needs("chromium"), pytest.mark.asyncio(loop_scope="session")]


async def talking(screen: Screen, end: FarEnd, conversation: str = "c1") -> None:
    """In a call with a relay, with the microphone open."""
    await screen.open()
    await screen.page.get_by_role("button", name="Talk").click()
    await end.answer()
    await end.be_a_relay(conversation)
    await screen.state("listening")
    await screen.microphone()


async def shown(screen: Screen) -> tuple[str, str]:
    """The state, and what is said of a coach."""
    return await screen.page.inner_text("#state"), await screen.page.inner_text("#coach")


async def test_the_page_shows_a_coach_who_is_present_pauses_or_speaks(screen, end):
    await talking(screen, end)
    assert await shown(screen) == ("Listening", "")
    await end.say("relay.coach", speaking=False)
    await screen.page.get_by_text("A coach is here").wait_for()
    await end.say("relay.paused")
    await screen.state("paused")
    assert await shown(screen) == ("Paused. You are still heard.", "A coach is here")
    await end.say("relay.coach", speaking=True)
    await answer_begins(end, "R1", "A1", None)
    await answer_goes_on(end, "R1", "A1", "I am Maria.", tone(0.5))
    await screen.state("speaking")
    assert await shown(screen) == ("Speaking", "A coach is speaking")
    await screen.row("coach partial", "I am Maria.")
    await answer_ends(end, "R1", "A1", "I am Maria.")
    await end.say("relay.coach", present=False)
    await end.say("relay.resumed")
    await screen.state("listening")
    assert await shown(screen) == ("Listening", "")
    assert await screen.page.locator("#transcript .coach .who").inner_text() == "Coach"


async def test_muting_is_shown_and_sends_silence(screen, end):
    await talking(screen, end)
    mute = screen.page.get_by_role("button", name="Mute")
    assert await mute.get_attribute("aria-pressed") == "false"
    await mute.click()
    assert await screen.page.inner_text("#state") == "You are muted"
    assert await mute.get_attribute("aria-pressed") == "true"
    await end.hear(20)
    assert not any(end.audio[-960 * 5 :])
    await mute.click()
    assert await screen.page.inner_text("#state") == "Listening"


async def test_push_to_talk_by_the_space_bar_and_by_the_button(screen, end):
    await talking(screen, end)
    await screen.page.get_by_text("Settings").click()
    await screen.page.get_by_role("switch", name="Push to talk").check()
    await end.expect("session.update")
    await screen.page.keyboard.press("Escape")
    assert await screen.page.inner_text("#state") == "Hold the button to speak"
    await screen.page.get_by_role("main").focus()
    await screen.page.keyboard.down("Space")
    await end.expect("input_audio_buffer.clear")
    await screen.state("hearing")
    await end.hear(10)
    await screen.page.keyboard.up("Space")
    await end.expect("input_audio_buffer.commit")
    await end.expect("response.create")
    await screen.page.get_by_label("Message").focus()
    await screen.page.keyboard.press("Space")  # a space in a message is a space
    await screen.page.get_by_role("button", name="Hold").hover()
    await screen.page.mouse.down()
    await end.expect("input_audio_buffer.clear")
    await end.hear(10)
    await screen.page.mouse.up()
    await end.expect("input_audio_buffer.commit")


async def test_an_answer_is_interrupted_by_a_button_too(screen, end):
    await talking(screen, end)
    interrupt = screen.page.get_by_role("button", name="Interrupt")
    assert await interrupt.is_disabled()
    await answer_begins(end, "R1", "A1", None)
    await answer_goes_on(end, "R1", "A1", "Once", tone(4))
    await screen.state("speaking")
    await interrupt.click()
    kinds = {(await end.expect_any())["type"] for _ in range(2)}
    assert kinds == {"response.cancel", "conversation.item.truncate"}


async def test_a_lost_connection_is_shown_and_reconnects(screen, end):
    await talking(screen, end, "c7")
    await user_speaks(end, "U1", None, "Hello?")
    await screen.row("user final", "Hello?")
    await end.cut()
    problem = await screen.problem()
    assert "The connection was lost." in problem
    assert "Trying again" in problem
    assert await screen.page.inner_text("#state") == "Connecting again …"
    connection = await end.connection()
    assert connection.request is not None
    assert "conversation_id=c7" in connection.request.path
    await end.say("session.created", session={"id": "sess_2"})
    await screen.state("listening")
    assert await screen.page.inner_text("#problem") == ""
    assert await screen.rows() == [("user final", "Hello?")]


async def test_a_low_budget_and_its_end_are_shown(screen, end):
    await talking(screen, end)
    await end.say("relay.budget", left=250_000)
    await end.say("relay.budget", left=40_000)
    assert await screen.problem() == "Little budget is left: $0.04."
    await end.hang_up(4008, "Budget exhausted")
    await screen.state("error")
    assert "used up" in await screen.problem()


async def test_settings_offer_the_available_devices(screen, end):
    await talking(screen, end)
    await screen.page.get_by_text("Settings").click()
    microphones = screen.page.get_by_label("Microphone", exact=True)
    await screen.page.wait_for_function("() => document.querySelector('#input').length > 1")
    before = end.appends
    await microphones.select_option(index=1)
    await end.hear(10)
    assert end.appends > before
    assert await screen.page.get_by_label("Loudspeaker").is_enabled()
    assert "Connected in" in await screen.page.inner_text("#facts")


async def test_a_conversation_of_another_user_is_requested_only_once(screen, end):
    await screen.page.add_init_script("sessionStorage.setItem('relay.conversation', 'theirs')")
    await screen.open()
    await screen.page.get_by_role("button", name="Talk").click()
    connection = await end.connection()
    assert connection.request is not None
    assert connection.request.path.endswith("conversation_id=theirs")
    await end.hang_up(4003, "Forbidden")
    assert "not yours" in await screen.problem()
    await screen.page.get_by_role("button", name="Talk").click()
    connection = await end.connection()
    assert connection.request is not None
    assert connection.request.path == "/v1/realtime"


async def test_the_last_words_stay_visible_when_a_problem_is_shown(screen, end):
    await screen.page.set_viewport_size({"width": 360, "height": 640})
    await talking(screen, end)
    for n in range(6):
        await user_speaks(end, f"U{n}", None, f"Number {n}: " + "and so on, " * 6)
    await answer_begins(end, "R1", "A1", "U5")
    await answer_goes_on(end, "R1", "A1", "These are the last words.", tone(0.1))
    await screen.row("assistant partial", "last words")
    await end.hang_up(4013, "Client too slow")
    await screen.problem()
    await screen.row("assistant interrupted", "last words")
    await screen.page.wait_for_function(
        """() => {
          const row = document.querySelector("#transcript li:last-child").getBoundingClientRect();
          return row.bottom <= document.querySelector("main").getBoundingClientRect().bottom;
        }"""
    )
