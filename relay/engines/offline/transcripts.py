"""What a client is told of its user's words: deltas, then the whole (PROTOCOL §4.1)."""

from relay.engines.offline import usage
from relay.engines.offline.delivery import split
from relay.engines.offline.ids import padding
from relay.engines.offline.items import Item
from relay.engines.offline.outgoing import Outgoing, Transcribe
from relay.engines.offline.refusals import Event

MAX_AWAITED = 32
"""Transcripts of one session that may be awaited at once; one more fails."""

_KIND = "conversation.item.input_audio_transcription"


class Transcripts:
    """The transcripts that are awaited, each with the model it was promised from."""

    def __init__(self, out: Outgoing) -> None:
        self._out = out
        self._awaited: dict[str, tuple[Item, str | None]] = {}

    def ask(self, item: Item, model: str | None) -> bool:
        """Have an item written down; the client is told when `model` is not None.

        Returns False when too many are awaited: then this one has failed.
        """
        if len(self._awaited) >= MAX_AWAITED:
            self._fail(item, model)
            return False
        self._awaited[item.id] = (item, model)
        self._out.do(Transcribe(item.id, item.audio))
        return True

    def arrived(self, item_id: str, text: str | None) -> Item | None:
        """Take a transcript, None for one that failed; returns its item if it was awaited."""
        item, model = self._awaited.pop(item_id, (None, None))
        if item is None:
            return None
        if text is None:
            self._fail(item, model)
            return item
        item.words = text
        for part in item.body["content"]:
            part["transcript"] = text
        if model is not None:
            self._tell(item, text, model)
        return item

    def nothing(self, item: Item, model: str | None) -> None:
        """Say that an item of silence holds no words; nobody is asked (PROTOCOL §4.9)."""
        item.words = ""
        for part in item.body["content"]:
            part["transcript"] = ""
        if model is not None:
            silent = usage.of_transcription(model, 0, 0)
            self._completed(item, "", silent)

    def _tell(self, item: Item, text: str, model: str) -> None:
        words = split(f" {text}") if text else []
        for word in words:
            pad = padding(word)
            fields = {"content_index": 0, "delta": word, "obfuscation": pad}
            self._out.emit(f"{_KIND}.delta", item_id=item.id, **fields)
        self._completed(item, text, usage.of_transcription(model, item.audio_ms, len(words)))

    def _completed(self, item: Item, text: str, used: Event) -> None:
        fields = {"content_index": 0, "transcript": text, "usage": used}
        self._out.emit(f"{_KIND}.completed", item_id=item.id, **fields)

    def _fail(self, item: Item, model: str | None) -> None:
        item.words = ""
        if model is not None:
            message = f"Input transcription failed for item '{item.id}'."
            fault = {"type": "server_error", "code": "server_error", "message": message}
            self._out.emit(
                f"{_KIND}.failed", item_id=item.id, content_index=0, error={**fault, "param": None}
            )
