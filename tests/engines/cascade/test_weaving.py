"""How several outputs of one response follow one another."""

import pytest

from relay.engines.cascade.outputs import Pace
from relay.engines.cascade.responses import OutputInterleaver
from relay.parts.interfaces import FunctionCall, Interleaving, Reply, SpokenMessage, incomplete
from tests.engines.cascade.driving import TEXT, Talk, scripted

COMMENTARY = SpokenMessage("Let me look.", phase="commentary")
CALL = FunctionCall("get_weather", {"city": "London"})
ANSWER = SpokenMessage("It is foggy now.", phase="final_answer")


def order(
    *outputs: SpokenMessage | FunctionCall, interleaving: Interleaving = "overlapping"
) -> list[str]:
    """Return what happens to each output: `0+` added, `0.` a delta, `0-` done; runs as one."""
    talk = Talk(scripted(replies=(Reply(outputs, interleaving=interleaving),)))
    talk.say("session.update", session=TEXT)
    talk.say("response.create")
    talk.finish()
    marks = {"added": "+", "delta": ".", "done": "-"}
    told = [
        f"{event['output_index']}{marks[event['type'].rpartition('.')[2]]}"
        for event in talk.events
        if event["type"].startswith("response.") and "output_index" in event
    ]
    return [mark for mark, last in zip(told, ["", *told], strict=False) if mark != last]


def test_ga16_the_last_ones_end_comes_after_the_next_ones_deltas():
    assert order(COMMENTARY, CALL) == ["0+", "0.", "1+", "1.", "0-", "1-"]


def test_three_overlap_two_by_two():
    assert order(COMMENTARY, CALL, ANSWER) == [
        "0+", "0.", "1+", "1.", "0-", "2+", "2.", "1-", "2-",
    ]  # fmt: skip


def test_in_turn_each_ends_before_the_next_begins():
    assert order(COMMENTARY, CALL, interleaving="in_turn") == ["0+", "0.", "0-", "1+", "1.", "1-"]


def test_alternating_deltas_come_by_turns():
    told = order(COMMENTARY, ANSWER, interleaving="alternating")

    assert told == ["0+", "1+", "0.", "1.", "0.", "1.", "0.", "1.", "0-", "1-"]


def test_phases_and_texts_do_not_mix():
    talk = Talk(scripted(replies=(Reply((COMMENTARY, ANSWER), interleaving="alternating"),)))
    talk.say("session.update", session=TEXT)
    talk.say("response.create")
    talk.finish()

    output = talk.last("response.done")["response"]["output"]
    assert [(item["phase"], item["content"][0]["text"]) for item in output] == [
        ("commentary", "Let me look."),
        ("final_answer", "It is foggy now."),
    ]
    for item in output:
        deltas = [e for e in talk.of("response.output_text.delta") if e["item_id"] == item["id"]]
        assert "".join(e["delta"] for e in deltas) == item["content"][0]["text"]


@pytest.mark.parametrize("interleaving", ["in_turn", "overlapping", "alternating"])
def test_several_messages_are_spoken_each_with_its_own_sound(interleaving: Interleaving):
    talk = Talk(scripted(replies=(Reply((COMMENTARY, ANSWER), interleaving=interleaving),)))
    talk.say("response.create")
    assert [effect.text for effect in talk.work] == ["Let me look.", "It is foggy now."]  # type: ignore[union-attr]

    talk.finish()

    lengths: dict[str, int] = {}
    for event in talk.of("response.output_audio.delta"):
        lengths[event["item_id"]] = lengths.get(event["item_id"], 0) + 1
    assert list(lengths.values()) == [3, 4]  # 720 and 960 ms, 250 ms at a time
    assert talk.last("response.done")["response"]["status"] == "completed"


def test_a_sound_that_is_late_holds_up_only_what_comes_after_it():
    talk = Talk(scripted(replies=(Reply((COMMENTARY, ANSWER), interleaving="overlapping"),)))
    talk.say("response.create")
    first, second = talk.work
    talk.work = [first]
    talk.wait(1.0)
    assert len(talk.of("response.output_item.added")) == 1
    assert talk.of("response.output_item.done") == []

    talk.work = [second]
    talk.finish()

    assert len(talk.of("response.output_item.done")) == 2


def test_a_response_that_is_cut_ends_all_that_is_open():
    talk = Talk(scripted(replies=(Reply((COMMENTARY, CALL, ANSWER), interleaving="alternating"),)))
    talk.say("session.update", session=TEXT)
    talk.say("response.create")
    talk.wait(0.03)

    talk.say("response.cancel")

    items = [event["item"] for event in talk.of("response.output_item.done")]
    assert [item["status"] for item in items] == ["incomplete"] * 3


def test_a_sound_that_comes_early_hurries_nothing():
    talk = Talk(scripted(replies=(Reply((COMMENTARY, ANSWER)),)), pace=Pace(burst=1))
    talk.say("response.create")
    first, second = talk.work
    talk.work = [first]
    talk.wait(0.1)
    sent = len(talk.of("response.output_audio.delta"))

    talk.work = [second]
    talk.wait(0.1)

    assert len(talk.of("response.output_audio.delta")) == sent == 1


@pytest.mark.parametrize("interleaving", ["in_turn", "overlapping", "alternating"])
def test_the_last_of_an_incomplete_response_is_incomplete(interleaving: Interleaving):
    reply = Reply(
        (COMMENTARY, ANSWER), interleaving=interleaving, ending=incomplete("max_output_tokens")
    )
    talk = Talk(scripted(replies=(reply,)))
    talk.say("session.update", session=TEXT)
    talk.say("response.create")
    talk.finish()

    statuses = [event["item"]["status"] for event in talk.of("response.output_item.done")]
    first = "incomplete" if interleaving == "alternating" else "completed"
    assert statuses == [first, "incomplete"]


def test_a_response_without_outputs_is_finished():
    outputs = OutputInterleaver((), "in_turn")

    assert outputs.finished
    assert not outputs.ready
    assert outputs.send_next() == 0.0
