"""The MCP servers of a session: what they offer, and whether a call of theirs must be approved.

No server is ever reached from here. What one offers is told by whoever made the session; one of
which nothing is told cannot be listed, as with a server that does not answer.
"""

from collections.abc import Sequence
from typing import Any

from relay.engines.offline.conversation import Conversation
from relay.engines.offline.items import Item, snapshot
from relay.engines.offline.outgoing import Outgoing
from relay.engines.offline.parts import Servers


class Listing:
    """Which servers a session was told of, and what the client was told of them (§4.7)."""

    def __init__(self, servers: Servers, conversation: Conversation, out: Outgoing) -> None:
        self._servers = servers
        self._conversation = conversation
        self._out = out
        self._listed: set[str] = set()

    def update(self, tools: Sequence[dict[str, Any]]) -> None:
        """List the servers that a session's tools name for the first time."""
        labels = [tool.get("server_label") for tool in tools if tool.get("type") == "mcp"]
        for label in labels:
            if isinstance(label, str) and label not in self._listed:
                self._listed.add(label)
                self._list(label)

    def _list(self, label: str) -> None:
        body = {"id": self._out.new_id("mcpl"), "type": "mcp_list_tools"}
        item = Item({**body, "server_label": label, "tools": []})
        previous = self._conversation.add(item)
        shown = snapshot(item.body)
        self._out.emit("conversation.item.added", previous_item_id=previous, item=shown)
        self._out.emit("mcp_list_tools.in_progress", item_id=item.id)
        offered = self._servers.get(label)
        if offered is None:
            self._out.emit("mcp_list_tools.failed", item_id=item.id)
        else:
            item.body["tools"] = [{"input_schema": {"type": "object"}, **tool} for tool in offered]
            self._out.emit("mcp_list_tools.completed", item_id=item.id)
        shown = snapshot(item.body)
        self._out.emit("conversation.item.done", previous_item_id=previous, item=shown)


def needs_approval(tools: Sequence[dict[str, Any]], label: str, name: str) -> bool:
    """Tell whether the client wants to be asked before this tool is called, which is the default.

    `require_approval` is `always`, `never`, or says so by the names of tools.
    """
    for tool in tools:
        if tool.get("type") == "mcp" and tool.get("server_label") == label:
            wish = tool.get("require_approval") or "always"
            if isinstance(wish, dict):
                return not _names(wish.get("never"), name)
            return bool(wish != "never")
    return False


def _names(these: Any, name: str) -> bool:
    named = these.get("tool_names") if isinstance(these, dict) else None
    return isinstance(named, list) and name in named
