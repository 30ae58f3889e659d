"""A shelf of documents, for tests of the door: it finds what has a word of the question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Found:
    """A document, which is its own only piece."""

    id: str
    text: str
    metadata: Mapping[str, Any]
    score: float = 1.0
    chunks: int = 1


@dataclass
class Shelf:
    """Documents by knowledge base and id."""

    bases: dict[str, dict[str, Found]] = field(default_factory=dict)

    async def exists(self, base: str) -> bool:
        return base in self.bases

    async def search(self, base: str, query: str, limit: int = 5) -> Sequence[Found]:
        words = {word for word in query.lower().split() if len(word) > 3}
        there = self.bases.get(base, {}).values()
        return [one for one in there if words & set(one.text.lower().split())][:limit]

    async def add(self, base: str, documents: Sequence[Any]) -> Sequence[Found]:
        added = {one.id: Found(one.id, one.text, one.metadata) for one in documents}
        self.bases.setdefault(base, {}).update(added)
        return list(added.values())

    async def documents(self, base: str) -> Sequence[Found]:
        return list(self.bases.get(base, {}).values())

    async def delete(self, base: str, id: str) -> bool:  # noqa: A002
        return self.bases.get(base, {}).pop(id, None) is not None
