"""The parts that follow a script."""

from relay.engines.offline.scripted import Script, scripted_parts


async def test_what_is_heard_comes_in_turn_and_the_last_for_ever():
    parts = scripted_parts(Script(heard=("One.", "Two.")))

    heard = [await parts.recogniser.transcribe(b"") for _ in range(3)]

    assert heard == ["One.", "Two.", "Two."]


def test_every_session_has_its_own_replies():
    parts = scripted_parts(Script(replies=("First: {heard}", "Later: {heard}")))
    one, other = parts.make_brain(), parts.make_brain()

    assert [one.reply("a"), one.reply("b"), one.reply("c")] == ["First: a", "Later: b", "Later: c"]
    assert other.reply("d") == "First: d"


async def test_the_default_script():
    parts = scripted_parts()

    assert parts.name == "scripted"
    assert parts.make_brain().reply(await parts.recogniser.transcribe(b"")) == (
        "You said: Hello there."
    )
    await parts.recogniser.aclose()
    await parts.mouth.aclose()
