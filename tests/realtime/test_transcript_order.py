"""Events that the protocol may reorder, repeat or omit do not change the transcript."""

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.realtime.playout import InstantPlayback
from relay.realtime.transcript import Transcript
from tests.realtime import wire_events as wire
from tests.realtime.wire_events import Event

TURNS = 3


def session() -> tuple[list[Event], list[Event]]:
    """A conversation in wire order, and the learner's transcriptions, which come at any time."""
    events: list[Event] = []
    late: list[Event] = []
    previous: str | None = None
    for turn in range(TURNS):
        user, answer = f"U{turn}", f"A{turn}"
        events += wire.spoken_turn(user, previous)
        events += wire.answer(answer, f"Answer number {turn}.", user, response=f"resp_{turn}")
        late.append(wire.heard(user, f"Question number {turn}."))
        previous = answer
    return events, late


def story(events: list[Event]) -> list[tuple[str, str, str]]:
    transcript = Transcript(InstantPlayback())
    last: dict[str, tuple[float, str, str, str]] = {}
    seqs: list[int] = []
    settled = [u for now, event in enumerate(events) for u in transcript.observe(event, float(now))]
    for said in settled + transcript.finish(float(len(events))):
        last[said.item_id] = (said.position, said.role, said.text, said.state)
        seqs.append(said.seq)
    assert seqs == list(range(1, len(seqs) + 1)), "gapless"
    return [(role, text, state) for _, role, text, state in sorted(last.values())]


def plain() -> list[tuple[str, str, str]]:
    events, late = session()
    return story(events + late)


# Everything in these events is also in another one (PROTOCOL §5, rule c).
REDUNDANT = (
    "response.output_audio_transcript.delta",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_audio.done",
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "response.created",
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_transcriptions_may_come_at_any_time_after_their_commit(data: st.DataObject) -> None:
    events, late = session()
    for event in data.draw(st.permutations(late)):
        committed = next(
            index
            for index, other in enumerate(events)
            if other["type"] == "input_audio_buffer.committed"
            and other["item_id"] == event["item_id"]
        )
        events.insert(data.draw(st.integers(committed + 1, len(events))), event)
    assert story(events) == plain()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_doubled_and_redundant_events_change_nothing(data: st.DataObject) -> None:
    events, late = session()
    mixed: list[Event] = []
    for event in events + late:
        if event["type"] in REDUNDANT and data.draw(st.booleans(), label="dropped"):
            continue
        mixed += [event] * data.draw(st.integers(1, 3), label="times")
    assert story(mixed) == plain()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_one_source_of_an_answers_text_is_enough(data: st.DataObject) -> None:
    sources = (
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    )
    kept = data.draw(st.sampled_from(sources[2:]))
    events, late = session()
    dropped = {kind for kind in sources if kind != kept} | set(REDUNDANT)
    users = {f"U{turn}" for turn in range(TURNS)}
    lean = [
        event
        for event in events
        if event["type"] not in dropped or event.get("item", {}).get("id") in users
    ]
    assert story(lean + late) == plain()
