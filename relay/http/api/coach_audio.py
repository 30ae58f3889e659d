"""WS /api/sessions/{id}/voice: a coach listens to a call, and speaks in it after a takeover."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from aiohttp import WSMsgType, hdrs, web

from relay.feed.live_session import CoachStreamProtocol, NoLine
from relay.http.api.auth import Authenticator, Authorizer
from relay.http.api.errors import FULL, NO_PCM, NO_SOCKET, NOT_A_COACH, OVER, ApiError, ApiErrorSpec
from relay.http.api.feeds import SEND_SECONDS, FeedPermission, SocketFeed, accept
from relay.http.api.sessions import SessionHandlers
from relay.realtime.endings import CLIENT_LEFT, CLIENT_LOST, CLIENT_TOO_SLOW, INTERNAL_ERROR

FRAME_BYTES: Final = 96_000
"""Largest frame of a coach's: two seconds of PCM16."""
_REFUSALS: Final[dict[NoLine, ApiErrorSpec]] = {"over": OVER, "busy": FULL, "format": NO_PCM}


@dataclass(frozen=True, slots=True)
class CoachAudioHandler:
    """`clock` gives Unix seconds."""

    gate: Authenticator
    access: Authorizer
    reading: SessionHandlers
    clock: Callable[[], float]

    async def voice(self, request: web.Request) -> web.StreamResponse:
        """Serve the line until the coach leaves, may stay no longer, or the session ends."""
        if request.headers.get(hdrs.UPGRADE, "").lower() != "websocket":
            raise ApiError(NO_SOCKET)
        socket = await accept(request, FRAME_BYTES + 1)  # the framework refuses from there on
        async with AsyncExitStack() as stack:
            # A browser cannot read an answer that refuses the handshake, so that is done.
            try:
                line, watching = await self._enter(request, stack)
            except ApiError as refused:
                await socket.refuse(refused.refusal)
            else:
                await _serve(socket, line, watching)
        return socket.socket

    async def _enter(
        self, request: web.Request, stack: AsyncExitStack
    ) -> tuple[CoachStreamProtocol, FeedPermission]:
        """Open a line until the stack closes; raises `ApiError`."""
        caller = await self.gate.enter(request)
        if caller.role == "learner":
            raise ApiError(NOT_A_COACH)
        feed = await self.reading.find(request, caller)
        stack.enter_context(self.gate.rates.feed(caller.sub))
        line = feed.call.voice(caller.sub)
        if isinstance(line, str):
            raise ApiError(_REFUSALS[line])
        stack.callback(line.close)
        return line, FeedPermission(caller, feed.head.user_id, self.access, self.clock)


async def _serve(socket: SocketFeed, line: CoachStreamProtocol, watching: FeedPermission) -> None:
    async with asyncio.TaskGroup() as tasks:
        beside = (
            tasks.create_task(_hear(socket, line), name="voice.hear"),
            tasks.create_task(_look_after(line, watching), name="voice.rights"),
        )
        try:
            while (frame := await line.next()) is not None:
                async with asyncio.timeout(SEND_SECONDS):
                    await socket.socket.send_bytes(frame)
        except ConnectionError:
            line.close(CLIENT_LOST)
        except TimeoutError:
            line.close(CLIENT_TOO_SLOW)
        for task in beside:
            task.cancel()
    await socket.close(line.ending or INTERNAL_ERROR)


async def _hear(socket: SocketFeed, line: CoachStreamProtocol) -> None:
    """What the coach says; a text frame has no meaning."""
    async for message in socket.socket:
        if message.type is WSMsgType.BINARY:
            line.hear(message.data)
    line.close(CLIENT_LEFT)


async def _look_after(line: CoachStreamProtocol, watching: FeedPermission) -> None:
    """Close the line when the coach's rights end."""
    ending = None
    while ending is None:
        await asyncio.sleep(watching.patience(watching.clock()))
        ending = await watching.may_go_on()
    line.close(ending)
