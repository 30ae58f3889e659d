"""What the journal still has of one person: told while a relay runs, erased while none does."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from relay.stores.journal import DiskJournal
from relay.stores.journal_file import FILE_NAME
from relay.stores.looking import looking_at

_OF: Final = "SELECT body FROM records WHERE user_id = ? ORDER BY number"
_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE name = 'records'"


def waiting_of(folder: Path, user_id: str) -> list[dict[str, Any]]:
    """Every record of theirs that waits for the store or was set aside; raises sqlite3.Error."""
    if not (folder / FILE_NAME).is_file():
        return []
    with looking_at(folder / FILE_NAME) as connection:
        if connection.execute(_TABLE).fetchone() is None:
            return []
        return [json.loads(body) for (body,) in connection.execute(_OF, (user_id,))]


@asynccontextmanager
async def emptied_of(folder: Path, user_id: str) -> AsyncIterator[int]:
    """Erase them, and keep relays from starting here while the context lasts.

    Gives how many records it was. Raises JournalInUse while a relay runs, JournalDamaged, OSError
    or sqlite3.Error.
    """
    if not (folder / FILE_NAME).is_file():
        yield 0
        return
    journal = DiskJournal(folder)
    await journal.start()
    try:
        yield await journal.erase(user_id)
    finally:
        await journal.aclose()
