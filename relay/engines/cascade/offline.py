"""Assembles the offline voice: local parts that really listen and really speak, without a key.

It is a demonstration voice. Its libraries come as an optional extra, because eSpeak NG is GPL-3.0:
ask `available` first, or be ready for `VoiceNotInstalled`.
"""

from relay.parts.interfaces import Parts, SpeechDetector

HOW_TO_INSTALL = "install it with `make run`, or with `pip install 'relay[voice]'`"


class VoiceNotInstalled(ImportError):  # noqa: N818 - a state of the machine, not a fault
    """The libraries of the offline voice are not on this machine; the text says what to do."""


def available() -> str | None:
    """Return None when the offline voice can work here, else the reason and the remedy.

    Loads its libraries (0.2 s the first time), but starts no process.
    """
    try:
        _load()
    except VoiceNotInstalled as missing:
        return str(missing)
    return None


def offline_parts() -> Parts:
    """Return the parts of the demonstration voice; raises `VoiceNotInstalled`.

    Nothing is started yet: the first session starts the transcriber's process, which is ready in a
    second, before that session's first turn can end.
    """
    _load()
    from relay.parts.responder import TopicResponder  # noqa: PLC0415
    from relay.parts.stt import PocketsphinxTranscriber  # noqa: PLC0415
    from relay.parts.tts import EspeakSynthesizer  # noqa: PLC0415
    from relay.parts.vad import PocketsphinxDetector  # noqa: PLC0415

    transcriber = PocketsphinxTranscriber()

    def make_speech_detector() -> SpeechDetector:
        transcriber.warm_up()
        return PocketsphinxDetector()

    return Parts(
        make_speech_detector, transcriber, TopicResponder, EspeakSynthesizer(), name="offline"
    )


def _load() -> None:
    try:
        from relay.parts import (  # noqa: PLC0415
            tts,
            vad,  # noqa: F401
        )

        tts.load()
    except ImportError as error:
        raise VoiceNotInstalled(
            f"the demonstration voice is not installed ({error}); {HOW_TO_INSTALL}"
        ) from error
    except OSError as error:
        raise VoiceNotInstalled(
            f"the demonstration voice cannot be used here ({error}); {HOW_TO_INSTALL}"
        ) from error
