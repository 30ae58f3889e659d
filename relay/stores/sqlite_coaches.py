"""Which learners a coach may follow, in the embedded store's table."""

import sqlite3
from typing import Final

from relay.stores.database import transaction

_ASSIGN: Final = "INSERT INTO coach_assignments VALUES (?, ?) ON CONFLICT DO NOTHING"
_UNASSIGN: Final = "DELETE FROM coach_assignments WHERE coach_id = ? AND learner_id = ?"


def learners(connection: sqlite3.Connection, coach_id: str) -> frozenset[str]:
    """The users whose conversations this coach may follow."""
    query = "SELECT learner_id FROM coach_assignments WHERE coach_id = ?"
    return frozenset(row[0] for row in connection.execute(query, (coach_id,)).fetchall())


def assign(connection: sqlite3.Connection, coach_id: str, learner_id: str) -> bool:
    """Let this coach follow that learner; False when it was so before."""
    with transaction(connection):
        return connection.execute(_ASSIGN, (coach_id, learner_id)).rowcount == 1


def unassign(connection: sqlite3.Connection, coach_id: str, learner_id: str) -> bool:
    """Let it be over; False when it was not so."""
    with transaction(connection):
        return connection.execute(_UNASSIGN, (coach_id, learner_id)).rowcount == 1
