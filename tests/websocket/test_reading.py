"""Pausing and resuming, in any order and at any time."""

from tests.websocket.ends import CLOSE, TEXT, Raw, Recorder, Stage, close_payload, frame


async def test_a_paused_peer_pushes_nothing_until_it_is_resumed(stage: Stage) -> None:
    raw, peer, recorder = await stage.raw_pair()
    other = await Raw.dial(port_of(raw))
    peer.pause()
    peer.pause()
    raw.write(frame(TEXT, b"1"), frame(CLOSE, close_payload(1000)))
    await raw.writer.drain()
    for _ in range(3):
        await other.round_trip()
    assert recorder.told == []
    peer.resume()
    peer.resume()
    assert await recorder.ending() == (1000, "")
    assert recorder.frames == [b"1"]
    await raw.hang_up()
    await other.hang_up()


def port_of(raw: Raw) -> int:
    return int(raw.writer.get_extra_info("peername")[1])


async def test_a_paused_peer_that_closes_still_sees_the_answer(stage: Stage) -> None:
    raw, peer, recorder = await stage.raw_pair(close_grace=60.0)
    peer.pause()
    raw.write(frame(TEXT, b"never read by anybody"))
    peer.close(4010, "Session time limit")
    peer.pause()
    assert await raw.read_close() == (4010, "Session time limit")
    raw.write(frame(CLOSE, close_payload(4010)))
    assert await recorder.ending() == (4010, "Session time limit")
    assert recorder.frames == []
    await raw.hang_up()


async def test_a_receiver_may_pause_within_a_frame(stage: Stage) -> None:
    raw, peer, _ = await stage.raw_pair()

    class Sipper(Recorder):
        def closed(self, code: int, reason: str) -> None:
            super().closed(code, reason)

        def frame(self, frame: object) -> None:
            super().frame(frame)  # type: ignore[arg-type]
            peer.pause()

    peer.attach(recorder := Sipper())
    raw.write(frame(TEXT, b"1"), frame(TEXT, b"2"))
    await recorder.until(lambda me: me.frames)
    other = await Raw.dial(port_of(raw))
    raw.write(frame(TEXT, b"3"))
    await raw.writer.drain()
    for _ in range(3):
        await other.round_trip()
    # "2" came in the same read and could not be held back.
    assert recorder.frames == [b"1", b"2"]
    peer.resume()
    await recorder.until(lambda me: me.frames == [b"1", b"2", b"3"])
    await raw.hang_up()
    await other.hang_up()
