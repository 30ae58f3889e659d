"""What one response puts out, item by item: calls of functions and of MCP tools (PROTOCOL §4)."""

from typing import Any

from relay.engines.offline.delivery import Delivery, Pace, split_json
from relay.engines.offline.ids import padding
from relay.engines.offline.items import Item
from relay.engines.offline.replies import FunctionCall, McpCall, as_json
from relay.engines.offline.strands import Slot

_DENIED = "The tool call was not approved."


class FunctionStrand:
    """A function that the client shall call (§4.6)."""

    def __init__(self, slot: Slot, call: FunctionCall, pace: Pace) -> None:
        self.delivery: Delivery | None = Delivery(split_json(as_json(call.arguments)), None, pace)
        self._slot = slot
        self._item = Item(
            {
                "id": slot.out.new_id("item"),
                "type": "function_call",
                "status": "in_progress",
                "name": call.name,
                "call_id": slot.out.new_id("call"),
                "arguments": "",
            }
        )
        self._opened = False

    @property
    def items(self) -> list[Item]:
        """Return its item, once it was announced."""
        return [self._item] if self._opened else []

    def open(self) -> None:
        """Announce the item."""
        self._opened = True
        self._slot.added(self._item)

    def tell(self, piece: str | bytes) -> None:
        """Send a piece of the arguments."""
        delta = str(piece)
        self._note(self._item.body["arguments"] + delta)
        self._emit("delta", delta=delta, obfuscation=padding(delta))

    def close(self, status: str) -> None:
        """End the arguments and the item."""
        body = self._item.body
        body["status"] = status
        self._emit("done", name=body["name"], arguments=body["arguments"])
        self._slot.done(self._item)

    def _note(self, arguments: str) -> None:
        self._item.body["arguments"] = self._item.words = arguments

    def _emit(self, what: str, **fields: Any) -> None:
        call_id = self._item.body["call_id"]
        kind = f"response.function_call_arguments.{what}"
        self._slot.emit(kind, self._item, call_id=call_id, **fields)


class McpStrand:
    """A tool of an MCP server that is called at once, or when the client has approved (§4.7).

    `approval` is where the request for an approval stands, None where none is needed.
    """

    def __init__(self, slot: Slot, call: McpCall, pace: Pace, approval: Slot | None) -> None:
        self.delivery: Delivery | None = Delivery(split_json(as_json(call.arguments)), None, pace)
        self._slot = slot
        self._call = call
        self._approval = approval
        named = {"server_label": call.server_label, "name": call.name, "arguments": ""}
        self._item = Item(
            {
                "id": slot.out.new_id("item"),
                "type": "mcp_call",
                **named,
                "approval_request_id": None,
                "output": None,
                "error": None,
            }
        )
        self._request: Item | None = None
        self._opened = False

    @property
    def items(self) -> list[Item]:
        """Return its items that were announced."""
        announced = [self._item] if self._opened else []
        return [*announced, self._request] if self._request else announced

    @property
    def awaits(self) -> str | None:
        """Return the id of the approval request that the client has not answered yet."""
        return self._request.id if self._request else None

    def open(self) -> None:
        """Announce the item."""
        self._opened = True
        self._slot.added(self._item)

    def tell(self, piece: str | bytes) -> None:
        """Send a piece of the arguments."""
        delta = str(piece)
        self._item.body["arguments"] += delta
        kind = "response.mcp_call_arguments.delta"
        self._slot.emit(kind, self._item, delta=delta, obfuscation=padding(delta))

    def close(self, status: str) -> None:
        """End the arguments; then call the tool, or ask whether it may be called."""
        arguments = self._item.body["arguments"]
        self._slot.emit("response.mcp_call_arguments.done", self._item, arguments=arguments)
        if status != "completed":
            self._slot.done(self._item)
        elif self._approval is None:
            self._run(self._call.error)
        else:
            self._ask(self._approval)

    def decide(self, approved: bool) -> None:
        """Take the client's word: call the tool, or say that it was not called."""
        self._item.body["approval_request_id"] = self.awaits
        self._run(self._call.error if approved else _DENIED)

    def _ask(self, slot: Slot) -> None:
        shared = ("server_label", "name", "arguments")
        body = {"id": slot.out.new_id("mcpr"), "type": "mcp_approval_request"}
        self._request = Item({**body, **{key: self._item.body[key] for key in shared}})
        slot.added(self._request)
        slot.done(self._request)

    def _run(self, error: str | None) -> None:
        self._tell("in_progress")
        if error is None:
            self._item.body["output"] = self._item.words = self._call.output
            self._tell("completed")
        else:
            self._item.body["error"] = {"type": "tool_execution_error", "message": error}
            self._tell("failed")
        self._slot.done(self._item)

    def _tell(self, what: str) -> None:
        where = {"item_id": self._item.id, "output_index": self._slot.index}
        self._slot.out.emit(f"response.mcp_call.{what}", **where)
