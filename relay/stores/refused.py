"""How a store says that some records can never be stored."""

from collections.abc import Mapping

FOREIGN_CONVERSATION = "foreign_conversation"
"""The conversation is somebody else's."""
CONSTRAINT = "constraint"
"""The database's own rules do not allow the row."""


class RecordsRefused(Exception):  # noqa: N818 - it is an outcome, not a fault
    """`put` stored every record but these, and trying these again will not help.

    `refused` maps record ids to one of the reasons above; neither holds a spoken word.
    """

    def __init__(self, refused: Mapping[str, str]) -> None:
        super().__init__(f"{len(refused)} records refused")
        self.refused = refused
