"""Which sound a session has."""

from relay.realtime.events import PCM, Formats


def configured(heard: object, spoken: object, kind: str = "session.updated") -> dict[str, object]:
    audio = {"input": {"format": spoken}, "output": {"format": heard}}
    return {"type": kind, "session": {"audio": audio}}


def test_sound_is_pcm_until_the_engine_says_another() -> None:
    formats = Formats()
    formats.observe({"type": "session.created", "session": {"id": "s"}}, 1.0)
    assert (formats.spoken, formats.heard) == (PCM, PCM)
    formats.observe(configured({"type": "audio/pcmu"}, {"type": "audio/pcma"}), 1.0)
    assert (formats.spoken, formats.heard) == ("audio/pcma", "audio/pcmu")


def test_what_says_nothing_of_it_changes_nothing() -> None:
    formats = Formats()
    formats.observe(configured(None, "g711"), 1.0)
    formats.observe(
        configured({"type": "audio/pcmu"}, {"type": "audio/pcmu"}, "response.done"), 1.0
    )
    assert (formats.spoken, formats.heard) == (PCM, PCM)
