"""The usage meter, with reports that are repeated, late, reordered or missing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.realtime.billing.pricing import Prices
from relay.realtime.billing.usage import (
    OTHER,
    Cost,
    Usage,
    UsageLine,
    UsageMeter,
    cost,
    day_of,
    of_parts,
)
from relay.realtime.dialects.beta import beta_to_ga
from tests.realtime.billing.test_usage import NEARLY
from tests.realtime.wire_usage import (
    Event,
    lasted,
    parts_usage,
    response_done,
    response_usage,
    session,
)
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
    [listened] = meter.observe(heard("item_1", lasted(3)), NOON)
    [answered] = meter.observe(response_done("resp_1", ANSWER), NOON)

    assert listened == UsageLine(model=EARS, day=20_000, usage=Usage(milliseconds=3000), seq=1)
    assert (answered.model, answered.seq) == (MODEL, 2)
    assert meter.lines() == [listened, answered]
    assert meter.totals() == {
        EARS: Usage(milliseconds=3000),
        MODEL: Usage(text_in=14, audio_in=27, text_out=28, audio_out=136),
    }
    assert meter.cost(Prices()) == Cost(850 + 14 * 4 + 27 * 32 + 28 * 24 + 136 * 64)


def test_a_line_grows_with_every_answer() -> None:
    meter = fed(response_done("resp_1", ANSWER))
    [line] = meter.observe(response_done("resp_2", ANSWER), NOON)
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
    assert meter.observe(response_done("resp_1", usage, "failed"), NOON) == []
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


# ------------------------------------------------------------------------ engines made of parts

WRITER, SPEAKER, EAR = "gpt-4.1-mini", "tts-1", "whisper-1"
TOLD = parts_usage(
    {"model": WRITER, "input_tokens": 1000, "cached_tokens": 400, "output_tokens": 50},
    {"model": SPEAKER, "characters": 200, "seconds": 12.5},
)


def test_each_part_has_a_line_of_its_model_and_the_sessions_model_none() -> None:
    meter = UsageMeter(MODEL, EARS)
    [listened] = meter.observe(heard("item_1", parts_usage({"model": EAR, "seconds": 3.2})), NOON)
    lines = meter.observe(response_done("resp_1", TOLD), NOON)

    assert (listened.model, listened.usage) == (EAR, Usage(milliseconds=3200))
    assert [(line.model, line.seq) for line in lines] == [(WRITER, 2), (SPEAKER, 3)]
    assert meter.totals() == {
        EAR: Usage(milliseconds=3200),
        WRITER: Usage(text_in=1000, text_cached=400, text_out=50),
        SPEAKER: Usage(characters=200, milliseconds=12_500),
    }
    assert meter.cost(Prices()) == Cost(320 + 600 * 4 // 10 + 40 + 80 + 200 * 15)


def test_parts_that_cost_nothing_are_not_told_and_not_counted() -> None:
    meter = fed(response_done("resp_1", parts_usage()), heard("item_1", parts_usage()))
    assert meter.lines() == []


def test_a_correction_of_parts_takes_back_what_is_no_longer_told() -> None:
    meter = fed(response_done("resp_1", TOLD))
    less = {"model": WRITER, "input_tokens": 900, "cached_tokens": 400, "output_tokens": 50}
    other = {"model": "tts-1-hd", "characters": 10}
    changed = meter.observe(response_done("resp_1", parts_usage(less, other)), NOON)

    assert [line.model for line in changed] == [WRITER, SPEAKER, "tts-1-hd"]
    assert meter.totals()[WRITER].text_in == 900
    assert meter.totals()[SPEAKER] == Usage()
    assert meter.observe(response_done("resp_1", parts_usage(less, other)), NOON) == []


def test_a_response_may_also_tell_what_its_transcriber_heard() -> None:
    twice = {"model": EAR, "seconds": 2}
    meter = fed(response_done("resp_1", parts_usage(twice, twice)))
    assert meter.totals() == {EAR: Usage(milliseconds=4000)}


def test_a_part_without_a_name_or_a_price_is_not_free() -> None:
    nameless, own = {"output_tokens": 7}, {"model": "our-llama", "output_tokens": 7}
    meter = fed(response_done("resp_1", parts_usage(nameless, own)))
    assert meter.cost(Prices()) == Cost(0, (OTHER, "our-llama"))
    free = Prices({name: {"text_in": 0, "text_out": 0} for name in (OTHER, "our-llama")})
    assert meter.cost(free) == Cost(0)


def test_the_parts_and_models_of_one_report_are_bounded() -> None:
    many = [{"model": f"m{number}", "characters": 1} for number in range(100)]
    meter = fed(*(response_done(f"r{n}", parts_usage(*many[n:])) for n in range(0, 96, 8)))
    assert len(meter.lines()) <= 65
    assert sum(line.usage.characters for line in meter.lines()) == 12 * 16 - 4


# ----------------------------------------------------------------------- repeats and corrections


def test_a_repeated_report_counts_once() -> None:
    meter = fed(response_done("resp_1", ANSWER), heard("item_1", lasted(3)))
    before = meter.lines()
    assert meter.observe(response_done("resp_1", ANSWER), NOON) == []
    assert meter.observe(heard("item_1", lasted(3)), NOON) == []
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
    assert late == [], "an interim one that comes late replaces no final one"
    [corrected] = meter.observe(heard("item_1", lasted(4)), NOON)
    assert corrected.usage == Usage(milliseconds=4000)


def test_usage_missing_at_first_is_counted_later_and_not_taken_back() -> None:
    meter = fed(response_done("resp_1", None), response_done("resp_1", ANSWER))
    assert meter.totals()[MODEL].audio_out == 136
    assert meter.observe(response_done("resp_1", None), NOON) == []
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

ANSWERS_WHOLE = st.builds(
    response_usage,
    text=st.tuples(st.integers(0, 500), st.integers(0, 100)),
    audio=st.tuples(st.integers(0, 500), st.integers(0, 100)),
    out=st.tuples(st.integers(0, 500), st.integers(0, 500)),
)


PARTS = st.lists(
    st.fixed_dictionaries(
        {"model": st.sampled_from([WRITER, SPEAKER, EAR, MODEL])},
        optional={
            "input_tokens": st.integers(0, 500),
            "cached_tokens": st.integers(0, 100),
            "output_tokens": st.integers(0, 500),
            "characters": st.integers(0, 500),
            "seconds": st.integers(0, 30_000).map(lambda ms: ms / 1000),
        },
    ),
    max_size=4,
).map(lambda told: parts_usage(*told))
ANSWERS = st.lists(st.one_of(ANSWERS_WHOLE, PARTS), max_size=6)


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
    after, before = meter.cost(Prices()), fed(*events).cost(Prices())
    assert (after.known, set(after.unpriced)) == (before.known, set(before.unpriced))
    assert len({line.seq for line in meter.lines()}) == len(meter.lines())


@given(ANSWERS)
def test_each_version_of_a_line_is_newer_and_never_smaller(answers: list[Event]) -> None:
    meter, seq = UsageMeter(MODEL, EARS), 0
    newest: dict[str, Usage] = {}
    for number, usage in enumerate(answers):
        for line in meter.observe(response_done(f"resp_{number}", usage), NOON):
            assert line.seq == seq + 1
            more = line.usage - newest.get(line.model, Usage())
            assert all(count >= 0 for count in vars_of(more))
            newest[line.model], seq = line.usage, line.seq
    assert newest == meter.totals()


@given(st.lists(PARTS, max_size=6))
def test_the_parts_of_a_session_cost_what_their_models_cost_together(told: list[Event]) -> None:
    meter = fed(*(response_done(f"resp_{number}", usage) for number, usage in enumerate(told)))
    by_model: dict[str, Usage] = {}
    for usage in told:
        for model, used in of_parts(usage["parts"]).items():
            by_model[model] = by_model.get(model, Usage()) + used

    assert {m: u for m, u in meter.totals().items() if u != Usage()} == {
        m: u for m, u in by_model.items() if u != Usage()
    }
    amounts = [cost(used, Prices().find(model)) for model, used in by_model.items()]
    assert meter.cost(Prices()).known == sum(amount or 0 for amount in amounts)


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
