"""When a client is told the id of a new conversation (S3-27)."""

from relay.realtime.actions import Action
from relay.realtime.client_side import ClientSide
from relay.realtime.setup import Setup


class Announcement:
    """Once, when an answer is done and something was said; of an old conversation never."""

    def __init__(self, setup: Setup, client: ClientSide) -> None:
        self._conversation_id = setup.conversation_id
        self._client = client
        self._made = setup.grant.conversation_id is not None
        self._said = False

    def feed(self, kind: str, *, settled: bool) -> list[Action]:
        """An engine's event, and whether words settled by it: what the client is told before it."""
        self._said = self._said or settled
        if self._made or kind != "response.done" or not self._said:
            return []
        self._made = True
        return self._client.announced(self._conversation_id)
