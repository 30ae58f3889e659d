"""What a session's settings ask of its rules: how to listen, when to speak, what to write down."""

from relay.engines.offline import config
from relay.engines.offline.config import Settings
from relay.engines.offline.turns import Listening


def listening(settings: Settings) -> Listening:
    """Return how turns are found."""
    prefix_ms = _turns(settings).get("prefix_padding_ms", config.PREFIX_MS)
    return Listening(config.silence_ms(settings), prefix_ms)


def interrupts(settings: Settings) -> bool:
    """Tell whether a voice stops the answer that runs."""
    return bool(_turns(settings).get("interrupt_response"))


def answers(settings: Settings) -> bool:
    """Tell whether the end of a turn begins an answer."""
    return bool(_turns(settings).get("create_response"))


def idle_ms(settings: Settings) -> int | None:
    """Return how long a user may say nothing before the model speaks, None for ever."""
    timeout: int | None = _turns(settings).get("idle_timeout_ms")
    return timeout


def transcriber(settings: Settings) -> str | None:
    """Return the model from which a client is promised its user's words, None for none."""
    transcription = settings["audio"]["input"]["transcription"]
    return str(transcription["model"]) if transcription else None


def _turns(settings: Settings) -> Settings:
    return settings["audio"]["input"]["turn_detection"] or {}
