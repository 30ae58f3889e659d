"""The tool with which a voice agent looks something up in its knowledge base."""

from typing import Final

import msgspec

from relay.knowledge.bases import KnowledgeBases
from relay.tools.call import ToolFailed, ToolInvocation

PASSAGES: Final = 4
LONGEST_QUERY: Final = 1_000


class KnowledgeSearch:
    """An `Action`: searches one base."""

    def __init__(self, bases: KnowledgeBases, base: str) -> None:
        self._bases = bases
        self._base = base

    async def __call__(self, call: ToolInvocation) -> str:
        """Return the passages as JSON; raises `ToolFailed`."""
        query = call.arguments.get("query")
        if not isinstance(query, str):
            raise ToolFailed("bad_arguments")
        found = await self._bases.search(self._base, query[:LONGEST_QUERY], PASSAGES)
        passages = [
            {"source": one.id, "heading": one.metadata.get("heading", ""), "text": one.text}
            for one in found
        ]
        return msgspec.json.encode({"passages": passages}).decode()
