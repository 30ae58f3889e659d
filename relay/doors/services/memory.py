"""Remembers conversations and answers for a while, in bounded memory."""

import uuid
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Final

from relay.doors.services.callers import ServiceCaller
from relay.parts.interfaces import Message

MOST_CONVERSATIONS: Final = 1000
"""Conversations that are remembered; the one that was silent for longest goes first."""
MOST_MESSAGES: Final = 40
"""Of one conversation; the oldest go first."""
MOST_CHARACTERS: Final = 64_000
"""Of one conversation's messages together, and of one answer that is kept."""
MOST_ANSWERS: Final = 256
ANSWER_SECONDS: Final = 300.0
"""Seconds that an answer is given again to a caller who asks for that."""

_Key = tuple[str, str]  # whose it is and its id


class Conversations:
    """What was said at `/ai/chat`, by the caller and the conversation's id.

    A caller without a token is nobody in particular: the id that they were given, which nobody can
    guess, is what shows that a conversation is theirs, and one of their own making begins anew.
    """

    def __init__(self) -> None:
        self._said: OrderedDict[_Key, tuple[Message, ...]] = OrderedDict()

    def open(self, who: ServiceCaller, asked: str | None) -> tuple[str, tuple[Message, ...]]:
        """Return the id of the conversation that goes on, or of a new one, and what was said."""
        if asked is not None:
            said = self._said.get(_key(who, asked))
            if said is not None or who.is_known:
                return asked, said or ()
        return str(uuid.uuid4()), ()

    def keep(self, who: ServiceCaller, conversation_id: str, said: Sequence[Message]) -> None:
        """Remember what was said until now."""
        kept = list(said[-MOST_MESSAGES:])
        while len(kept) > 1 and sum(len(one.text) for one in kept) > MOST_CHARACTERS:
            del kept[0]
        key = _key(who, conversation_id)
        self._said[key] = tuple(kept)
        self._said.move_to_end(key)
        if len(self._said) > MOST_CONVERSATIONS:
            self._said.popitem(last=False)


def _key(who: ServiceCaller, conversation_id: str) -> _Key:
    return who.caller.sub if who.is_known else "", conversation_id


class AnswerCache:
    """Answers that may be given again; `now` is in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._kept: OrderedDict[Hashable, tuple[float, str, str]] = OrderedDict()

    def find(self, key: Hashable) -> tuple[str, str] | None:
        """Return the answer and the model that wrote it."""
        kept_at, text, model = self._kept.get(key, (-ANSWER_SECONDS, "", ""))
        return (text, model) if self._now() - kept_at < ANSWER_SECONDS else None

    def keep(self, key: Hashable, text: str, model: str) -> None:
        """Keep an answer, unless it is very long."""
        if len(text) <= MOST_CHARACTERS:
            self._kept[key] = (self._now(), text, model)
            self._kept.move_to_end(key)
        if len(self._kept) > MOST_ANSWERS:
            self._kept.popitem(last=False)
