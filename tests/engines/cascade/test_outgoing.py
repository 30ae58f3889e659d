"""What one step does, in order."""

import itertools

from relay.engines.cascade.effects import EffectBuffer, Emit, RequestRefused, Transcribe


def test_effects_come_in_order_and_once():
    numbers = itertools.count(1)
    out = EffectBuffer(lambda prefix: f"{prefix}_{next(numbers)}")

    out.emit("session.created", session={})
    out.do(Transcribe("item_1", b""))
    out.refuse(RequestRefused("code", "Message."), None)
    first, second, third = out.take()

    assert first == Emit({"type": "session.created", "event_id": "event_1", "session": {}})
    assert isinstance(first, Emit)
    assert list(first.event) == ["type", "event_id", "session"]
    assert second == Transcribe("item_1", b"")
    assert isinstance(third, Emit)
    assert third.event["event_id"] == "event_2"
    assert out.take() == []
