"""The usage meter, with reports that are repeated, late, reordered or missing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.realtime.billing.pricing import Prices
from relay.realtime.billing.usage import OTHER, Cost, Usage, UsageLine, UsageMeter, day_of
from relay.realtime.dialects.beta import beta_to_ga
from tests.realtime.billing.test_usage import NEARLY
from tests.realtime.wire_usage import Event, lasted, response_done, response_usage, session
from tests.realtime.wire_usage import transcribed as heard
from tests.recordings import RECORDINGS, needs_recordings

MODEL, EARS = "gpt-realtime-2.1", "gpt-realtime-whisper"
NOON = 20_000 * 86_400 + 43_200.0
ANSWER = response_usage(text=(14, 0), audio=(27, 0), out=(28, 136))


def fed(*events: Event, now: float = NOON) -> UsageMeter:
    meter = UsageMeter(MODEL, EARS)
    for event in events:
        meter.observe(event, now)
    return meter


# ------------------------------------------------------------------------------------- one turn


def test_a_turn_is_counted_for_the_model_and_the_transcriber() -> None:
    meter = UsageMeter(MODEL, EARS)
    listened = meter.observe(heard("item_1", lasted(3)), NOON)
    answered = meter.observe(response_done("resp_1", ANSWER), NOON)

    assert listened == UsageLine(model=EARS, day=20_000, usage=Usage(milliseconds=3000), seq=1)
    assert answered is not None
    assert (answered.model, answered.seq) == (MODEL, 2)
    assert meter.lines() == [listened, answered]
    assert meter.totals() == {
        EARS: Usage(milliseconds=3000),
        MODEL: Usage(text_in=14, audio_in=27, text_out=28, audio_out=136),
    }
    assert meter.cost(Prices()) == Cost(850 + 14 * 4 + 27 * 32 + 28 * 24 + 136 * 64)


def test_a_line_grows_with_every_answer() -> None:
    meter = fed(response_done("resp_1", ANSWER))
    line = meter.observe(response_done("resp_2", ANSWER), NOON)
    assert line is not None
    assert line.usage.audio_out == 272
    assert line.seq == 2
    assert meter.lines() == [line]


@pytest.mark.parametrize("status", ["completed", "cancelled", "failed", "incomplete"])
def test_an_answer_is_counted_whatever_its_status(status: str) -> None:
    assert fed(response_done("resp_1", ANSWER, status)).totals()[MODEL].audio_out == 136


def test_an_answer_outside_the_conversation_is_counted_too() -> None:
    done = response_done("resp_1", ANSWER)
    done["response"]["conversation_id"] = None
    assert fed(done).totals()[MODEL].audio_out == 136


@pytest.mark.parametrize("usage", [None, response_usage()])
def test_an_answer_that_used_nothing_changes_nothing(usage: Event | None) -> None:
    meter = UsageMeter(MODEL, EARS)
    assert meter.observe(response_done("resp_1", usage, "failed"), NOON) is None
    assert meter.lines() == []
    assert meter.cost(Prices()) == Cost(0)


def test_a_failed_transcription_costs_nothing() -> None:
    failed = heard("item_1", lasted(3))
    failed["type"] = failed["type"].replace("completed", "failed")
    assert failed["type"] not in UsageMeter.reads
    assert fed(failed).lines() == []


def test_transcription_by_tokens_has_the_transcribers_price() -> None:
    usage = {"type": "tokens", "input_tokens": 13, "output_tokens": 9, "total_tokens": 22}
    meter = fed(session("updated", MODEL, "gpt-4o-mini-transcribe"), heard("item_1", usage))
    assert meter.totals() == {"gpt-4o-mini-transcribe": Usage(audio_in=13, text_out=9)}
    assert meter.cost(Prices()) == Cost(62), "13 * 1.25 + 9 * 5 is 61.25, rounded up"


# ----------------------------------------------------------------------- repeats and corrections


def test_a_repeated_report_counts_once() -> None:
    meter = fed(response_done("resp_1", ANSWER), heard("item_1", lasted(3)))
    before = meter.lines()
    assert meter.observe(response_done("resp_1", ANSWER), NOON) is None
    assert meter.observe(heard("item_1", lasted(3)), NOON) is None
    assert meter.lines() == before


def test_parts_of_an_item_are_counted_each_and_ids_of_two_kinds_never_collide() -> None:
    meter = fed(
        heard("x", lasted(3)),
        heard("x", lasted(2), content_index=1),
        response_done("x", response_usage(out=(0, 10))),
    )
    assert meter.totals()[EARS] == Usage(milliseconds=5000)
    assert meter.totals()[MODEL] == Usage(audio_out=10)


def test_an_interim_transcription_is_replaced_by_the_next_and_by_the_final_one() -> None:
    meter = fed(
        heard("item_1", lasted(1), status="in_progress"),
        heard("item_1", lasted(2), status="in_progress"),
        heard("item_1", lasted(5), status="completed"),
    )
    assert meter.totals()[EARS] == Usage(milliseconds=5000)
    late = meter.observe(heard("item_1", lasted(3), status="in_progress"), NOON)
    assert late is None, "an interim one that comes late replaces no final one"
    corrected = meter.observe(heard("item_1", lasted(4)), NOON)
    assert corrected is not None
    assert corrected.usage == Usage(milliseconds=4000)


def test_usage_missing_at_first_is_counted_later_and_not_taken_back() -> None:
    meter = fed(response_done("resp_1", None), response_done("resp_1", ANSWER))
    assert meter.totals()[MODEL].audio_out == 136
    assert meter.observe(response_done("resp_1", None), NOON) is None
    assert meter.totals()[MODEL].audio_out == 136


def test_a_report_without_an_id_is_counted_all_the_same() -> None:
    nameless = response_done("", ANSWER)
    del nameless["response"]["id"]
    assert fed(nameless).totals()[MODEL].audio_out == 136


# -------------------------------------------------------------------------------- models and days


def test_the_models_are_those_that_the_engine_reports() -> None:
    meter = fed(
        session("created", "gpt-realtime-2.1-2026-07-01", None),
        session("updated", "gpt-realtime-2.1-2026-07-01", "gpt-live-transcribe"),
        session("updated", "", None),
        {"type": "session.updated", "session": {"model": 7, "audio": []}},
        {"type": "session.updated"},
        response_done("resp_1", ANSWER),
        heard("item_1", lasted(3)),
    )
    assert set(meter.totals()) == {"gpt-realtime-2.1-2026-07-01", "gpt-live-transcribe"}
    assert meter.cost(Prices()).unpriced == ()


def test_a_model_without_a_price_is_named_and_has_no_cost() -> None:
    meter = fed(session("created", "voice-from-somewhere", None), response_done("resp_1", ANSWER))
    meter.observe(heard("item_1", lasted(3)), NOON)
    cost = meter.cost(Prices())
    assert cost == Cost(850, ("voice-from-somewhere",))
    assert cost.micro is None
    priced = Prices({"voice-from-somewhere": {"like": MODEL}})
    assert meter.cost(priced).micro == fed(response_done("r", ANSWER)).cost(priced).known + 850


def test_a_day_has_a_line_of_its_own_and_a_correction_stays_on_its_day() -> None:
    midnight = 20_001 * 86_400.0
    meter = fed(response_done("resp_1", ANSWER), now=midnight - 0.1)
    meter.observe(response_done("resp_2", ANSWER), midnight)
    meter.observe(response_done("resp_1", response_usage(out=(0, 100))), midnight + 1)
    assert [(line.day, line.usage.audio_out) for line in meter.lines()] == [
        (20_000, 100),
        (20_001, 136),
    ]
    assert meter.totals()[MODEL].audio_out == 236
    assert day_of(midnight) == 20_001
    assert day_of(midnight - 0.1) == 20_000


def test_the_cost_is_the_sum_of_the_lines() -> None:
    """So that a report from the stored rows agrees with the session's own."""
    once = response_usage(text=(1, 1))
    meter = fed(response_done("resp_1", once), now=0.0)
    meter.observe(response_done("resp_2", once), 86_400.0)
    assert meter.cost(Prices()) == Cost(2), "two lines of 0.4 micro-dollars, each rounded up"
    assert fed(response_done("a", once), response_done("b", once)).cost(Prices()) == Cost(1)


# --------------------------------------------------------------------------------------- bounds


def test_models_beyond_the_bound_share_one_line() -> None:
    meter = UsageMeter(MODEL, EARS)
    for number in range(200):
        meter.observe(session("updated", MODEL, f"ears-{number}"), NOON)
        meter.observe(heard(f"item_{number}", lasted(1)), NOON)
    assert len(meter.lines()) == 65
    assert meter.totals()[OTHER] == Usage(milliseconds=136_000)
    assert sum(line.usage.milliseconds for line in meter.lines()) == 200_000


def test_a_long_model_name_is_cut() -> None:
    meter = fed(session("created", "m" * 100_000, None), response_done("resp_1", ANSWER))
    assert [len(line.model) for line in meter.lines()] == [128]


def test_remembered_reports_are_bounded_and_no_usage_is_lost() -> None:
    meter = UsageMeter(MODEL, EARS)
    for number in range(3000):
        meter.observe(response_done(f"resp_{number}", response_usage(out=(0, 1))), NOON)
        meter.observe(response_done(f"resp_{number}", response_usage(out=(0, 1))), NOON)
    assert meter.totals()[MODEL].audio_out == 3000
    assert len(meter._reports) == 1024


# ------------------------------------------------------------------------------------ any order

ANSWERS = st.lists(
    st.builds(
        response_usage,
        text=st.tuples(st.integers(0, 500), st.integers(0, 100)),
        audio=st.tuples(st.integers(0, 500), st.integers(0, 100)),
        out=st.tuples(st.integers(0, 500), st.integers(0, 500)),
    ),
    max_size=6,
)


@given(ANSWERS, st.lists(st.integers(0, 30), max_size=6), st.data())
def test_order_and_repeats_change_nothing(
    answers: list[Event], seconds: list[int], data: st.DataObject
) -> None:
    events = [response_done(f"resp_{n}", usage) for n, usage in enumerate(answers)]
    events += [heard(f"item_{n}", lasted(each)) for n, each in enumerate(seconds)]
    doubles = data.draw(st.lists(st.sampled_from(events), max_size=8)) if events else []
    shuffled = data.draw(st.permutations(events + doubles))
    meter = fed(*shuffled)
    assert meter.totals() == fed(*events).totals()
    assert meter.cost(Prices()) == fed(*events).cost(Prices())
    assert len({line.seq for line in meter.lines()}) == len(meter.lines())


@given(ANSWERS)
def test_each_version_of_a_line_is_newer_and_never_smaller(answers: list[Event]) -> None:
    meter, before = (
        UsageMeter(MODEL, EARS),
        UsageLine(model=MODEL, day=20_000, usage=Usage(), seq=0),
    )
    for number, usage in enumerate(answers):
        line = meter.observe(response_done(f"resp_{number}", usage), NOON)
        if line is not None:
            assert line.seq == before.seq + 1
            assert all(count >= 0 for count in vars_of(line.usage - before.usage))
            before = line


def vars_of(usage: Usage) -> list[int]:
    return [getattr(usage, name) for name in Usage.__struct_fields__]


@given(
    st.lists(
        st.one_of(
            NEARLY.map(lambda given: {"type": "response.done", "response": given}),
            st.builds(
                lambda usage, name: {
                    "type": "response.done",
                    "response": {"id": name, "usage": usage},
                },
                NEARLY,
                NEARLY,
            ),
            st.builds(
                lambda usage, name, index, status: heard(
                    name, usage, content_index=index, status=status
                ),
                *(NEARLY, NEARLY, NEARLY, NEARLY),
            ),
            NEARLY.map(lambda given: {"type": "session.updated", "session": given}),
            NEARLY.map(lambda given: {"type": given}),
        ),
        max_size=4,
    )
)
def test_malformed_events_raise_no_error(events: list[Event]) -> None:
    meter = fed(*events)
    assert all(count >= 0 for line in meter.lines() for count in vars_of(line.usage))
    assert meter.cost(Prices()).known >= 0


# ----------------------------------------------------------------------------------- recordings

UNKNOWN = ("gpt-4o-realtime-preview-2024-12-17",)
RECORDED: dict[str, tuple[Usage, Cost]] = {
    "ga01_openai_server_vad_turn": (
        Usage(text_in=14, audio_in=27, text_out=28, audio_out=136, milliseconds=3000),
        Cost(10_072 + 850),
    ),
    "ga03_openai_history_seeding_text": (Usage(text_in=149, text_out=14), Cost(820)),
    "ga04_openai_text_in_audio_out": (Usage(text_in=16, text_out=9, audio_out=15), Cost(1168)),
    "ga05_openai_tool_call_round": (
        Usage(text_in=166, text_cached=64, text_out=35),
        Cost(994),
    ),
    "ga06_openai_webrtc_sideband_audio": (Usage(text_in=12, text_out=9, audio_out=61), Cost(4096)),
    "ga09_azure_transcription_failed": (
        Usage(text_in=14, audio_in=26, text_out=28, audio_out=80),
        Cost(6456),
    ),
    "ga16_openai_parity_tool_round_current": (
        Usage(text_in=748, text_cached=384, text_out=51),
        Cost(2834),
    ),
    "p02_probe_ga_text_four_errors": (
        Usage(text_in=259, text_cached=192, text_out=12),
        Cost(81),
    ),
    "b02_banyan_webrtc_playback_truncation": (
        Usage(text_in=1722, text_cached=1664, audio_in=42, text_out=64, audio_out=188),
        Cost(0, UNKNOWN),
    ),
    "b03_semantic_kernel_adr_webrtc_barge_in": (
        Usage(
            text_in=431,
            text_cached=256,
            audio_in=162,
            audio_cached=64,
            text_out=82,
            audio_out=209,
        ),
        Cost(0, UNKNOWN),
    ),
}
"""By recording: total usage, and its cost worked out by hand."""


def recorded(name: str) -> list[Event]:
    path = RECORDINGS / f"{name}.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    events: list[dict[str, Any]] = [row["event"] for row in rows if row["dir"] == "s2c"]
    return [beta_to_ga(event) for event in events] if name.startswith("b") else events


@needs_recordings
@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_session_costs_what_was_worked_out_by_hand(name: str) -> None:
    usage, cost = RECORDED[name]
    meter = UsageMeter("gpt-realtime", EARS)
    for event in recorded(name):
        meter.observe(event, NOON)
        meter.observe(event, NOON)
    assert sum(meter.totals().values(), Usage()) == usage
    assert meter.cost(Prices()) == cost
