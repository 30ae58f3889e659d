"""A program to be killed: journals words, delivers them, and says which ones are committed.

`python -m tests.stores.writer FOLDER SESSION_ID` prints one record id a line, after its commit.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from relay.realtime.records import AnyRecord
from relay.stores.delivery import Delivery
from relay.stores.sqlite.store import SqliteStore
from tests.stores.words import Call, open_journal

IN_FLIGHT = 20


async def main(folder: Path, session_id: str) -> None:
    """Keep some words on their way to the disk until the process is killed."""
    journal = await open_journal(folder / "journal")
    delivery = Delivery(journal, SqliteStore(folder / "relay.sqlite"))
    call = Call(session_id=session_id)
    position = 0

    def say() -> None:
        nonlocal position
        position += 1
        journal.append(call.user(f"word {position}", float(position)))

    def committed(records: Sequence[AnyRecord]) -> None:
        sys.stdout.write("".join(record.id + "\n" for record in records))
        sys.stdout.flush()
        for _ in records:
            say()

    journal.subscribe(committed)
    for _ in range(IN_FLIGHT):
        say()
    await delivery.run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
