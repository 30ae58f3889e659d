"""Which sound a session has."""

from relay.realtime.events import PCM, Formats


def configured(heard: object, spoken: object, kind: str = "session.updated") -> dict[str, object]:
    audio = {"input": {"format": spoken}, "output": {"format": heard}}
    return {"type": kind, "session": {"audio": audio}}


def test_sound_is_pcm_until_the_engine_says_another() -> None:
    formats = Formats()
    formats.feed({"type": "session.created", "session": {"id": "s"}})
    assert (formats.spoken, formats.heard) == (PCM, PCM)
    formats.feed(configured({"type": "audio/pcmu"}, {"type": "audio/pcma"}))
    assert (formats.spoken, formats.heard) == ("audio/pcma", "audio/pcmu")


def test_what_says_nothing_of_it_changes_nothing() -> None:
    formats = Formats()
    formats.feed(configured(None, "g711"))
    formats.feed(configured({"type": "audio/pcmu"}, {"type": "audio/pcmu"}, "response.done"))
    assert (formats.spoken, formats.heard) == (PCM, PCM)
