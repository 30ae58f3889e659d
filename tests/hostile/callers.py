"""The honest callers beside an attack: one whose round trips are timed, and some who come anew."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.hostile.engine import MEASURED, NEWCOMER
from tests.hostile.own_clock import own_timeout
from tests.hostile.wire import token

STEP: Final = 0.02
"""Seconds between two questions of the measured call, and of sound in each of its events."""
NEXT: Final = 0.5
"""Seconds from one newcomer to the next."""
WAITS: Final = 5.0
"""Seconds that a newcomer waits for a session, by the clock of whom it waits for."""
ADDRESSES: Final = 250
_SOUND: Final = base64.b64encode(bytes(960)).decode()
_APPEND: Final = json.dumps({"type": "input_audio_buffer.append", "audio": _SOUND})
_CLEAR: Final = json.dumps({"type": "input_audio_buffer.clear"})


@dataclass(slots=True)
class MeasuredCall:
    """A call that streams a microphone and asks the engine something 50 times a second.

    It asks on a schedule, answered or not, so a stall costs all the questions that fall into it.
    `asked` and `answered` are `time.monotonic`, in order, `own_asked` and `own_answered` the same
    moments by all of `clocks`; `ending` says how it ended, if it did.
    """

    socket: ClientConnection
    clocks: Sequence[Callable[[], float]] = (time.monotonic,)
    asked: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    own_asked: list[tuple[float, ...]] = field(default_factory=list)
    own_answered: list[tuple[float, ...]] = field(default_factory=list)
    ending: str | None = None

    async def speak(self) -> None:
        """Say and ask until cancelled or ended."""
        start, number = time.monotonic(), 0
        with suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(max(0.0, start + number * STEP - time.monotonic()))
                self.asked.append(time.monotonic())
                self.own_asked.append(self._now())
                await self.socket.send(_APPEND)
                await self.socket.send(_CLEAR)
                number += 1

    async def listen(self) -> None:
        """Note the answers until cancelled or ended."""
        try:
            async for message in self.socket:
                if b"input_audio_buffer.cleared" in _octets(message):
                    self.answered.append(time.monotonic())
                    self.own_answered.append(self._now())
        except ConnectionClosed:
            pass
        self.ending = f"{self.socket.close_code} {self.socket.close_reason}"

    def round_trips(self, since: float, until: float) -> list[float]:
        """Milliseconds of all that was asked in between; what has no answer counts up to now."""
        open_ones = [time.monotonic()] * (len(self.asked) - len(self.answered))
        answers = [*self.answered, *open_ones]
        pairs = zip(self.asked, answers, strict=True)
        return [(answer - asked) * 1000 for asked, answer in pairs if since <= asked < until]

    def own_round_trips(self, since: float, until: float) -> list[float]:
        """The same, each by that of `clocks` by which it is longest."""
        open_ones = [self._now()] * (len(self.own_asked) - len(self.own_answered))
        answers = [*self.own_answered, *open_ones]
        trips = zip(self.asked, self.own_asked, answers, strict=True)
        return [_longest(one, other) for at, one, other in trips if since <= at < until]

    def _now(self) -> tuple[float, ...]:
        return tuple(clock() for clock in self.clocks)


def _longest(one: Sequence[float], other: Sequence[float]) -> float:
    return max(0.0, *(b - a for a, b in zip(one, other, strict=False))) * 1000


def _octets(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message


@asynccontextmanager
async def measured_call(port: int, issuer: str | None) -> AsyncIterator[MeasuredCall]:
    """One that runs until the context ends."""
    url = f"ws://127.0.0.1:{port}/v1/realtime?model={MEASURED}"
    header = {"Authorization": f"Bearer {token('measured', issuer)}"}
    async with connect(
        url, additional_headers=header, compression=None, ping_interval=None, close_timeout=1
    ) as socket:
        while b'"session.created"' not in _octets(await socket.recv()):
            pass
        one = MeasuredCall(socket)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(one.speak()), tasks.create_task(one.listen())]
            try:
                yield one
            finally:
                for task in running:
                    task.cancel()


@dataclass(slots=True)
class Newcomers:
    """Valid callers from addresses of their own, one after the other, each let in or not."""

    port: int
    issuer: str | None
    waits: float = WAITS
    clock: Callable[[], float] = time.monotonic
    let_in: list[float] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    async def come(self, enough: asyncio.Event) -> None:
        """Have one come twice a second until there are enough; all who came are waited for."""
        async with asyncio.TaskGroup() as tasks:
            number = 0
            while not enough.is_set():
                tasks.create_task(self.one(number))
                number += 1
                with suppress(TimeoutError):
                    await asyncio.wait_for(enough.wait(), NEXT)

    async def one(self, number: int) -> bool:
        """Ask for a session, and leave; whether there was one, within the time."""
        began = time.monotonic()
        refusal = await self._ask(number)
        if refusal is None:
            self.let_in.append((time.monotonic() - began) * 1000)
        else:
            self.refusals.append(refusal)
        return refusal is None

    async def _ask(self, number: int) -> str | None:
        url = f"ws://127.0.0.1:{self.port}/v1/realtime?model={NEWCOMER}"
        header = {"Authorization": f"Bearer {token(f'newcomer-{number}', self.issuer)}"}
        source = (f"127.0.1.{1 + number % ADDRESSES}", 0)
        try:
            async with (
                own_timeout(self.waits, self.clock),
                connect(
                    url,
                    additional_headers=header,
                    compression=None,
                    local_addr=source,
                    close_timeout=0.5,
                ) as socket,
            ):
                while b'"session.created"' not in _octets(await socket.recv()):
                    pass
        except ConnectionClosed as closed:
            return f"{closed.rcvd.code} {closed.rcvd.reason}" if closed.rcvd else "1006"
        except TimeoutError:
            return "no answer"
        except (OSError, WebSocketException) as error:
            return type(error).__name__
        return None
