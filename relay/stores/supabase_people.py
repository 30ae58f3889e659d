"""Forgetting, telling and erasing in a project, by the functions of `supabase/migrations`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from relay.interfaces import Mode, NoSuchPerson
from relay.stores.supabase import is_uuid
from relay.stores.supabase_troubles import DatabaseUnreadable

if TYPE_CHECKING:
    from relay.stores.supabase_rest import Rest

AT_ONCE: Final = 2000
"""Utterances of one statement, which a project ends after some seconds."""


class SupabasePeople:
    """A `relay.stores.people.People`. Every method raises `DatabaseTrouble`."""

    def __init__(self, rest: "Rest") -> None:
        self._rest = rest

    async def forget(self, days: int, mode: Mode) -> int:
        """Forget words of calls that are older; returns how many utterances it was."""
        forgotten = 0
        asked = {"days": days, "mode": mode, "most": AT_ONCE}
        while many := await self._rest.call("voice_forget", asked):
            if not isinstance(many, int):
                raise DatabaseUnreadable
            forgotten += many
        return forgotten

    async def export(self, user_id: str) -> Mapping[str, Any]:
        """All that is kept about one person, as `voice_export` tells it."""
        return await self._of(user_id, "voice_export")

    async def erase(self, user_id: str) -> Mapping[str, int]:
        """Erase one person; returns how many rows of each kind it was."""
        return await self._of(user_id, "voice_erase")

    async def aclose(self) -> None:
        """Let go of the sockets."""
        await self._rest.aclose()

    async def _of(self, user_id: str, function: str) -> Mapping[str, Any]:
        if not is_uuid(user_id):
            raise NoSuchPerson
        answer = await self._rest.call(function, {"user_id": user_id})
        if not isinstance(answer, dict):
            raise DatabaseUnreadable
        return answer
