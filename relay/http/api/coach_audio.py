"""Serves a coach's audio WebSocket: listening to a session, and speaking in it after a takeover."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from aiohttp import WSMsgType, hdrs, web

from relay.clock import MachineClock
from relay.http.api.auth import Authenticator, Authorizer
from relay.http.api.errors import FULL, NO_PCM, NO_SOCKET, OVER, ApiError, ApiErrorSpec
from relay.http.api.feeds import SEND_SECONDS, FeedPermission, SocketWriter, accept_socket
from relay.http.api.sessions import SessionHandlers
from relay.interfaces import CoachAudioStream, SessionDirectory, StreamRefusal
from relay.realtime.endings import CLIENT_LEFT, CLIENT_LOST, CLIENT_TOO_SLOW, INTERNAL_ERROR

FRAME_BYTES: Final = 96_000
"""Largest frame from a coach: two seconds of PCM16."""
_ERRORS: Final[dict[StreamRefusal, ApiErrorSpec]] = {"over": OVER, "busy": FULL, "format": NO_PCM}


@dataclass(frozen=True, slots=True)
class CoachAudioHandler:
    """WS /api/sessions/{id}/voice."""

    directory: SessionDirectory
    authenticator: Authenticator
    authorizer: Authorizer
    sessions: SessionHandlers
    clock: MachineClock

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve audio until the coach leaves or loses access, or the session ends."""
        if request.headers.get(hdrs.UPGRADE, "").lower() != "websocket":
            raise ApiError(NO_SOCKET)
        writer = await accept_socket(request, FRAME_BYTES + 1)  # aiohttp refuses that size itself
        async with AsyncExitStack() as stack:
            # A browser cannot read why a handshake is refused, so it is completed first.
            try:
                stream, permission = await self._open(request, stack)
            except ApiError as refused:
                await writer.refuse(refused.spec)
            else:
                await _serve(writer, stream, permission)
        return writer.socket

    async def _open(
        self, request: web.Request, stack: AsyncExitStack
    ) -> tuple[CoachAudioStream, FeedPermission]:
        """Open the coach's stream until the exit stack closes; raises `ApiError`."""
        caller = await self.authenticator.authenticate_coach(request)
        feed = await self.sessions.find(request, caller)
        stack.enter_context(self.authenticator.limiter.open_feed(caller.sub))
        session = self.directory.find(feed.head.session_id)
        stream = "over" if session is None else session.open_coach_audio(caller.sub)
        if isinstance(stream, str):
            raise ApiError(_ERRORS[stream])
        stack.callback(stream.close)
        return stream, FeedPermission(caller, feed.head.user_id, self.authorizer, self.clock)


async def _serve(
    writer: SocketWriter, stream: CoachAudioStream, permission: FeedPermission
) -> None:
    async with asyncio.TaskGroup() as tasks:
        beside = (
            tasks.create_task(_read(writer, stream), name="coach_audio.read"),
            tasks.create_task(_watch_permission(stream, permission), name="coach_audio.permission"),
        )
        try:
            while (frame := await stream.next()) is not None:
                async with asyncio.timeout(SEND_SECONDS):
                    await writer.socket.send_bytes(frame)
        except ConnectionError:
            stream.close(CLIENT_LOST)
        except TimeoutError:
            stream.close(CLIENT_TOO_SLOW)
        for task in beside:
            task.cancel()
    await writer.close(stream.ending or INTERNAL_ERROR)


async def _read(writer: SocketWriter, stream: CoachAudioStream) -> None:
    """Pass on the coach's audio; text frames are ignored."""
    async for message in writer.socket:
        if message.type is WSMsgType.BINARY:
            stream.take_audio(message.data)
    stream.close(CLIENT_LEFT)


async def _watch_permission(stream: CoachAudioStream, permission: FeedPermission) -> None:
    """Close the stream when the coach's access ends."""
    ending = None
    while ending is None:
        await asyncio.sleep(permission.next_check_in(permission.clock.monotonic()))
        ending = await permission.revoked()
    stream.close(ending)
