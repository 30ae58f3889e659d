import json

from relay.realtime.transcript import InterimTranscript
from tests.session.fakes import CREATED, HEAD, Stage, settle

HEARD = "conversation.item.input_audio_transcription."


def frame(kind: str, **more: object) -> bytes:
    return json.dumps({"type": kind, "item_id": "U1", "content_index": 0, **more}).encode()


async def test_what_a_feed_is_told_of_a_live_session() -> None:
    stage = Stage()
    session, running = stage.start()
    await settle()
    call = session.live_call()
    assert (call.head, call.door, call.engine) == (HEAD, "", "fake")
    assert (list(call.partials()), call.settled(), dict(call.tokens())) == ([], 0, {})
    stage.engine.arrive(CREATED.encode())
    stage.engine.arrive(frame(HEARD + "delta", delta="Good mor"))
    assert call.partials() == [InterimTranscript("U1", 0, "user", "Good mor")]
    usage = {"type": "tokens", "input_tokens": 9, "output_tokens": 3, "total_tokens": 12}
    stage.engine.arrive(frame(HEARD + "completed", transcript="Good morning.", usage=usage))
    assert (list(call.partials()), call.settled()) == ([], 1)
    assert call.tokens()["text_out"] == 3
    assert call.micro() is None, "nobody knows what this model costs"
    assert call.ending() is None
    stage.client.leave(1000)
    await running
    assert call.ending() == "client_left"
