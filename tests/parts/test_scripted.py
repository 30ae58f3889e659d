"""The parts that follow a script."""

from relay.parts.interfaces import FunctionCall, OutOfBandResponder, Reply, SpokenMessage, as_reply
from relay.parts.simple import Script, ScriptedResponder, scripted_parts
from tests.engines.cascade.driving import TEXT, Talk


async def test_what_is_heard_comes_in_turn_and_the_last_for_ever():
    parts = scripted_parts(Script(heard=("One.", "Two.")))

    heard = [await parts.transcriber.transcribe(b"") for _ in range(3)]

    assert heard == ["One.", "Two.", "Two."]


def test_every_session_has_its_own_replies():
    parts = scripted_parts(Script(replies=("First: {heard}", "Later: {heard}")))
    one, other = parts.make_responder(), parts.make_responder()

    assert [one.reply(word) for word in "abc"] == [
        as_reply("First: a"),
        as_reply("Later: b"),
        as_reply("Later: c"),
    ]
    assert other.reply("d") == as_reply("First: d")


def test_what_was_heard_stands_in_every_message_and_in_nothing_else():
    call = FunctionCall("f", {"said": "{heard}"})
    reply = Reply((SpokenMessage("{heard}?", phase="commentary"), call), interleaving="in_turn")

    answered = ScriptedResponder((reply,)).reply("Hello")

    assert answered == Reply(
        (SpokenMessage("Hello?", phase="commentary"), call), interleaving="in_turn"
    )


def test_responses_out_of_band_have_lines_of_their_own():
    script = Script(replies=("One.", "Two."), asides=("Aside: {heard}",))
    talk = Talk(scripted_parts(script))
    talk.say("session.update", session=TEXT)
    talk.type("Hello")
    for conversation in ("none", "auto", "none", "auto"):
        talk.say("response.create", response={"conversation": conversation})
        talk.finish()

    said = [event["text"] for event in talk.of("response.output_text.done")]
    assert said == ["Aside: Hello", "One.", "Aside: Hello", "Two."]
    ids = [event["response"]["conversation_id"] for event in talk.of("response.done")]
    assert [bool(known) for known in ids] == [False, True, False, True]
    assert len(talk.of("conversation.item.added")) == 1 + 2  # what was typed, two answers


def test_without_lines_of_their_own_they_take_the_next_reply():
    responder = ScriptedResponder(("One.", "Two."))

    assert [responder.reply_out_of_band(""), responder.reply("")] == [
        as_reply("One."),
        as_reply("Two."),
    ]
    assert isinstance(responder, OutOfBandResponder)


async def test_the_default_script():
    parts = scripted_parts()

    assert parts.name == "scripted"
    assert parts.make_responder().reply(await parts.transcriber.transcribe(b"")) == as_reply(
        "You said: Hello there."
    )
    await parts.transcriber.aclose()
    await parts.synthesizer.aclose()
