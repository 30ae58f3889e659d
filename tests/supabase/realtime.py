"""A stand-in for Realtime over the real database: private topics for those who may join them.

It speaks what was recorded of the real one, to clients of both protocol versions. Rows of
`realtime.messages` reach it as they are committed; who may join is asked of the real policies, once
at the join and at every new token, as the service does.
"""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import jwt
import psycopg
from aiohttp import WSMsgType, web

from tests.supabase.broadcasts import Broadcasts, Told
from tests.supabase.phoenix import TOPIC, Message, decoded, encoded
from tests.supabase.signing import Keys

_UNREACHABLE = "Realtime was unable to connect to the project database"


class RefusalError(Exception):
    """Why somebody may not join, in the service's words."""


@dataclass
class Channel:
    """A topic that a client has joined, by this message; `expiry` ends it with its token."""

    join: Message
    private: bool
    expiry: asyncio.TimerHandle | None = None

    def left(self) -> None:
        if self.expiry:
            self.expiry.cancel()


@dataclass(eq=False)
class Line:
    """One client's socket and its channels by topic."""

    socket: web.WebSocketResponse
    transport: asyncio.BaseTransport | None
    version: str
    channels: dict[str, Channel] = field(default_factory=dict)

    async def say(self, *messages: Message) -> None:
        for message in messages:
            if not self.socket.closed:
                await self.socket.send_str(encoded(message, self.version))


class Realtime:
    """Lives in the gateway's loop; `cut` and `lose` may be called from any thread."""

    def __init__(self, keys: Keys, database: str) -> None:
        self.joined: Counter[str] = Counter()
        """How many joins of each topic were answered with ok."""
        self.refused: list[str] = []
        """Why the others were not."""
        self._keys = keys
        self._database = Broadcasts(database, self._broadcast, self._abort)
        self._lines: set[Line] = set()
        self._ends: set[asyncio.Task[None]] = set()
        self._lost = 0.0
        self._heard_of = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def cut(self) -> None:
        """Cut every socket, in the middle of whatever it was about."""
        if self._loop:
            self._loop.call_soon_threadsafe(self._abort)

    def lose(self, chance: float) -> None:
        """Let each broadcast be lost with this probability: the service promises none."""
        self._lost = chance

    async def heard(self, count: int, within: float = 30.0) -> None:
        """Wait until so many broadcasts came from the database, those that were lost among them."""
        async with asyncio.timeout(within):
            while self._heard_of < count:
                await asyncio.sleep(0.005)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One client, until its socket ends."""
        self._loop = asyncio.get_running_loop()
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        line = Line(socket, request.transport, request.query.get("vsn", "1.0.0"))
        self._lines.add(line)
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    await self._heard(line, decoded(frame.data, line.version))
        finally:
            self._lines.discard(line)
            for channel in line.channels.values():
                channel.left()
        return socket

    async def aclose(self) -> None:
        """Cut everybody and let the database go."""
        self._abort()
        await self._database.aclose()

    def _abort(self) -> None:
        for line in self._lines:
            if isinstance(line.transport, asyncio.Transport):
                line.transport.abort()

    # --------------------------------------------------------------------------------- clients

    async def _heard(self, line: Line, said: Message) -> None:
        if said.event == "heartbeat" and said.topic == "phoenix":
            await line.say(said.reply("ok", {}))
        elif said.event == "phx_join":
            await self._join(line, said)
        elif said.event == "phx_leave":
            await line.say(said.reply("ok", {}))
            await self._close(line, said.topic)
        elif said.event == "access_token" and said.topic in line.channels:
            await self._new_token(line, line.channels[said.topic], said.payload["access_token"])

    async def _join(self, line: Line, said: Message) -> None:
        config = said.payload.get("config", {})
        channel = Channel(said, private=config.get("private", False))
        try:
            await self._admit(line, channel, said.payload.get("access_token"))
        except RefusalError as refused:
            self.refused.append(str(refused))
            await line.say(said.reply("error", {"reason": str(refused)}))
            return
        await self._close(line, said.topic, quietly=True)
        line.channels[said.topic] = channel
        self.joined[said.topic.removeprefix(TOPIC)] += 1
        await line.say(said.reply("ok", {"postgres_changes": []}))

    async def _new_token(self, line: Line, channel: Channel, token: str | None) -> None:
        if not token or token.startswith("sb_"):
            return
        try:
            await self._admit(line, channel, token)
        except RefusalError as refused:
            await self._end(line, channel, str(refused))

    async def _admit(self, line: Line, channel: Channel, token: str | None) -> None:
        """Look at the token and the policies; raises RefusalError."""
        claims = self._claims(token)
        topic = channel.join.topic.removeprefix(TOPIC)
        if channel.private:
            try:
                await self._database.listen()
                allowed = await self._database.may_read(topic, claims)
            except psycopg.OperationalError as error:
                raise RefusalError(f"UnableToConnectToProject: {_UNREACHABLE}") from error
            if not allowed:
                may_not = "You do not have permissions to read from this Channel topic"
                raise RefusalError(f"Unauthorized: {may_not}: {topic}")
        channel.left()

        def expired() -> None:
            ending = asyncio.ensure_future(self._end(line, channel, "Token has expired"))
            self._ends.add(ending)
            ending.add_done_callback(self._ends.discard)

        left = claims["exp"] - time.time()
        channel.expiry = asyncio.get_running_loop().call_later(left, expired)

    def _claims(self, token: str | None) -> dict[str, Any]:
        """Whose token it is; without a person's it is the key's own role."""
        if not token or token.startswith("sb_"):
            return {"role": "anon", "exp": time.time() + 3600}
        try:
            return self._keys.read(token)
        except jwt.ExpiredSignatureError as error:
            raise RefusalError("InvalidJWTToken: Token has expired") from error
        except jwt.InvalidTokenError as error:
            raise RefusalError("JwtSignatureError: Failed to validate JWT signature") from error

    async def _end(self, line: Line, channel: Channel, why: str) -> None:
        """End a channel that has begun, and say why."""
        name = channel.join.topic.removeprefix(TOPIC)
        told = {"extension": "system", "status": "error", "message": why, "channel": name}
        self.refused.append(why)
        await line.say(channel.join.follow_up("system", told))
        await self._close(line, channel.join.topic)

    async def _close(self, line: Line, topic: str, quietly: bool = False) -> None:
        channel = line.channels.pop(topic, None)
        if channel:
            channel.left()
            if not quietly:
                await line.say(channel.join.follow_up("phx_close", {}))

    async def _broadcast(self, told: Told) -> None:
        meta = {"id": told.id}
        payload = {"event": told.event, "payload": told.payload, "type": "broadcast", "meta": meta}
        message = Message(TOPIC + told.topic, "broadcast", payload)
        for line in list(self._lines):
            channel = line.channels.get(message.topic)
            if channel and channel.private and random.random() >= self._lost:
                await line.say(message)
        self._heard_of += 1
