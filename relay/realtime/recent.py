"""A set that forgets its oldest members."""


class Recent:
    """Remembers the last `most` different strings that were added."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._members: dict[str, None] = {}

    def __contains__(self, member: object) -> bool:
        return isinstance(member, str) and member in self._members

    def add(self, member: str) -> None:
        """Remember it; the oldest one goes where there is no more room."""
        self._members[member] = None
        if len(self._members) > self._most:
            del self._members[next(iter(self._members))]
