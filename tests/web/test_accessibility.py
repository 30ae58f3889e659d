"""axe-core finds no serious fault in any state of the voice page."""

import pytest

from tests.components import needs, require
from tests.web.chromium import Screen
from tests.web.far_end import FarEnd, answer_begins, answer_goes_on, user_speaks
from tests.web.sound import tone

pytestmark = [needs("chromium", "axe"), pytest.mark.asyncio(loop_scope="session")]

JUDGE = """async () => {
  const { violations, passes } = await axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  });
  return {
    passed: passes.length,
    faults: violations.filter(({ impact }) => impact !== "minor").map(({ id, impact, nodes }) => (
      `${impact} ${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`)),
  };
}"""


async def faults(screen: Screen) -> list[str]:
    """All but minor faults, after some rules at least were found to be kept."""
    if not await screen.page.evaluate("() => 'axe' in window"):
        await screen.page.evaluate(require("axe").read_text())
    judged = await screen.page.evaluate(JUDGE)
    assert judged["passed"] > 20
    return list(judged["faults"])


async def talked_to(screen: Screen, end: FarEnd) -> None:
    """In a call, an answer playing, one answer interrupted, a coach at hand."""
    await screen.page.get_by_role("button", name="Talk").click()
    await end.answer()
    await end.be_a_relay()
    await end.say("relay.coach", speaking=False)
    await user_speaks(end, "U1", None, "Tell me a story.")
    await answer_begins(end, "R1", "A1", "U1")
    await answer_goes_on(end, "R1", "A1", "Once there was a learner.", tone(4))
    await screen.state("speaking")
    await end.say("conversation.item.truncated", item_id="A1", content_index=0, audio_end_ms=900)
    await screen.row("assistant interrupted", "Once")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1100), ("dark", 360)])
async def test_no_state_of_the_page_has_a_serious_fault(screen, end, scheme, width):
    await screen.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await screen.page.set_viewport_size({"width": width, "height": 740})
    await screen.open()
    await screen.state("idle")
    assert await faults(screen) == []
    await talked_to(screen, end)
    assert await faults(screen) == []
    await screen.page.get_by_text("Settings").click()
    await screen.page.get_by_role("switch", name="Push to talk").check()
    await screen.page.get_by_role("button", name="Mute").click()
    assert await screen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert await faults(screen) == []
    await end.hang_up(4013, "Client too slow")
    await screen.state("error")
    assert await faults(screen) == []
    assert screen.complaints == []


async def test_a_page_without_its_code_has_no_serious_fault(screen, end):
    await screen.page.goto(screen.site)
    await screen.problem()
    assert await faults(screen) == []


async def test_the_form_for_address_and_token_has_no_serious_fault(screen, end):
    await screen.page.route("**/config.json", lambda route: route.fulfill(status=404))
    await screen.open()
    await screen.page.get_by_label("Address").wait_for()
    assert await faults(screen) == []
