"""Usage as engines report it, malformed usage, and the cost of usage."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.realtime.billing.pricing import Price, Prices
from relay.realtime.billing.usage import Usage, cost, of_parts, of_response, of_transcription
from tests.realtime.wire_usage import response_usage

REALTIME = Prices().find("gpt-realtime-2.1")
WHISPER = Prices().find("gpt-realtime-whisper")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        *("type", "seconds", "input_tokens", "output_tokens", "total_tokens", "cached_tokens"),
        *("input_token_details", "output_token_details", "cached_tokens_details"),
        *("text_tokens", "audio_tokens", "image_tokens", "reasoning_tokens"),
        *("parts", "model", "characters", "cached_tokens"),
    ]
)
NEARLY = st.recursive(JSON, lambda inner: st.dictionaries(NAMES, inner, max_size=6), max_leaves=12)
"""Arbitrary JSON that sometimes looks like usage."""

COUNTS = st.integers(0, 200_000)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    counts = {name: draw(COUNTS) for name in Usage.__struct_fields__}
    for kind in ("text", "audio", "image"):
        counts[f"{kind}_cached"] = draw(st.integers(0, counts[f"{kind}_in"]))
    return Usage(**counts)


# ----------------------------------------------------------------------------------- on the wire


def test_response_usage_is_read_by_modality() -> None:
    usage = of_response(response_usage(text=(139, 128), audio=(48, 0), out=(24, 55)))
    assert usage == Usage(text_in=139, text_cached=128, audio_in=48, text_out=24, audio_out=55)
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (187, 128, 79)


def test_images_and_reasoning_are_counted_too() -> None:
    given = response_usage(text=(10, 0), image=(300, 200), out=(44, 16), reasoning=31)
    assert of_response(given) == Usage(
        text_in=10, image_in=300, image_cached=200, text_out=44, audio_out=16, reasoning=31
    )


def test_beta_usage_has_no_images() -> None:
    usage = {
        "total_tokens": 1015,
        "input_tokens": 911,
        "output_tokens": 104,
        "input_token_details": {
            "text_tokens": 869,
            "audio_tokens": 42,
            "cached_tokens": 832,
            "cached_tokens_details": {"text_tokens": 832, "audio_tokens": 0},
        },
        "output_token_details": {"text_tokens": 27, "audio_tokens": 77},
    }
    assert of_response(usage) == Usage(
        text_in=869, text_cached=832, audio_in=42, text_out=27, audio_out=77
    )


def test_tokens_without_details_count_as_the_dearer_kind() -> None:
    assert of_response({"input_tokens": 100, "output_tokens": 20}) == Usage(
        audio_in=100, audio_out=20
    )
    partly = {"input_tokens": 100, "input_token_details": {"text_tokens": 60, "cached_tokens": 70}}
    assert of_response(partly) == Usage(text_in=60, audio_in=40, text_cached=60, audio_cached=10), (
        "cached tokens without a kind are text as far as there is any"
    )


def test_cached_never_exceeds_input_and_reasoning_never_exceeds_output() -> None:
    given = response_usage(text=(10, 90), audio=(5, 7), out=(3, 0), reasoning=9)
    assert of_response(given) == Usage(
        text_in=10, text_cached=10, audio_in=5, audio_cached=5, text_out=3, reasoning=3
    )


def test_transcription_usage_is_in_tokens_or_in_time() -> None:
    by_tokens = {
        "type": "tokens",
        "total_tokens": 22,
        "input_tokens": 13,
        "input_token_details": {"text_tokens": 3, "audio_tokens": 10},
        "output_tokens": 9,
    }
    assert of_transcription(by_tokens) == Usage(text_in=3, audio_in=10, text_out=9)
    without = {"type": "tokens", "input_tokens": 13, "output_tokens": 9}
    assert of_transcription(without) == Usage(audio_in=13, text_out=9)
    assert of_transcription({"type": "duration", "seconds": 3}) == Usage(milliseconds=3000)
    assert of_transcription({"type": "duration", "seconds": 2.8005}) == Usage(milliseconds=2801)


def test_the_usage_of_parts_is_in_tokens_characters_and_seconds() -> None:
    told = [
        {"model": "a", "input_tokens": 9, "cached_tokens": 12, "output_tokens": 3},
        {"model": "b", "characters": 40, "seconds": 2.8005},
        {"model": "a", "output_tokens": 1},
        "c",
        None,
        {"seconds": 1},
    ]
    assert of_parts(told) == {
        "a": Usage(text_in=9, text_cached=9, text_out=4),
        "b": Usage(characters=40, milliseconds=2801),
        "other": Usage(milliseconds=1000),
    }
    assert of_parts([{"model": "b", "seconds": 1.1}]) == {"b": Usage(milliseconds=1100)}


@pytest.mark.parametrize("absent", [None, [], "usage", 7, True])
def test_no_usage_is_none(absent: Any) -> None:
    assert of_response(absent) is None
    assert of_transcription(absent) is None


@pytest.mark.parametrize(
    "count", [-1, True, "12", None, [1], {}, float("nan"), float("inf"), 10**30]
)
def test_an_invalid_count_is_0(count: Any) -> None:
    details = {"text_tokens": count, "audio_tokens": 4}
    assert of_response({"input_token_details": details}) == Usage(audio_in=4)
    assert of_transcription({"type": "duration", "seconds": count}) == Usage()


@given(NEARLY)
def test_malformed_usage_raises_no_error(given: Any) -> None:
    parts = of_parts(given if isinstance(given, list) else [given])
    for usage in (of_response(given), of_transcription(given), *parts.values()):
        if usage is not None:
            assert all(getattr(usage, name) >= 0 for name in Usage.__struct_fields__)
            assert usage.text_cached <= usage.text_in
            assert usage.audio_cached <= usage.audio_in
            assert usage.image_cached <= usage.image_in
            assert usage.reasoning <= usage.text_out


@given(usages(), usages())
def test_usage_adds_up_field_by_field(one: Usage, other: Usage) -> None:
    both = one + other
    assert both == other + one
    assert both - other == one
    assert both.audio_out == one.audio_out + other.audio_out
    assert one + Usage() == one


# --------------------------------------------------------------------------------------- its cost


def test_the_cost_of_a_recorded_turn() -> None:
    """14 text and 27 audio tokens in, 28 and 136 out, as `gpt-realtime` answered a greeting."""
    usage = Usage(text_in=14, audio_in=27, text_out=28, audio_out=136)
    assert cost(usage, Prices().find("gpt-realtime")) == 14 * 4 + 27 * 32 + 28 * 16 + 136 * 64
    assert cost(Usage(milliseconds=3000), WHISPER) == 850


def test_cached_input_is_cheaper_and_counted_once() -> None:
    assert cost(Usage(text_in=1000), REALTIME) == 4000
    assert cost(Usage(text_in=1000, text_cached=1000), REALTIME) == 400
    assert cost(Usage(audio_in=1000, audio_cached=400), REALTIME) == 600 * 32 + 160
    assert cost(Usage(image_in=10, image_cached=10), REALTIME) == 5


def test_reasoning_costs_no_more_than_the_text_it_is_part_of() -> None:
    assert cost(Usage(text_out=44, reasoning=31, audio_out=16), REALTIME) == 44 * 24 + 16 * 64


def test_a_fraction_of_a_micro_dollar_is_rounded_up_once() -> None:
    assert cost(Usage(text_in=1, text_cached=1), REALTIME) == 1, "0.4"
    assert cost(Usage(text_in=5, text_cached=5), REALTIME) == 2, "2.0, not five times 1"
    assert cost(Usage(milliseconds=1), WHISPER) == 1
    assert cost(Usage(milliseconds=60_000), WHISPER) == 17_000


def test_cached_input_without_a_price_of_its_own_is_not_cheaper() -> None:
    assert cost(Usage(text_in=10, text_cached=10), Price(text_in=2_000_000)) == 20


def test_speech_costs_by_its_characters_by_its_time_or_by_both() -> None:
    speech = Usage(characters=200, milliseconds=12_000)
    assert cost(speech, Prices().find("tts-1")) == 3000
    assert cost(speech, Prices().find("gpt-4o-mini-tts")) == 3000
    assert cost(Usage(characters=200), Prices().find("gpt-4o-mini-tts")) == 0, "not a sound of it"
    both = Prices({"m": {"like": "tts-1", "minute": "0.015"}}).find("m")
    assert cost(speech, both) == 6000
    assert cost(Usage(characters=1), REALTIME) is None
    assert cost(Usage(milliseconds=3_600_000), Prices().find("azure-speech")) in (10**6, 10**6 + 1)


def test_usage_without_a_price_has_no_cost() -> None:
    assert cost(Usage(text_in=1), None) is None
    assert cost(Usage(text_in=1), WHISPER) is None
    assert cost(Usage(milliseconds=1), REALTIME) is None
    assert cost(Usage(), WHISPER) == 0


@given(usages())
def test_the_cost_is_the_formula_of_the_price_sheet_rounded_up(usage: Usage) -> None:
    own = {"like": "gpt-realtime-2.1-mini", "minute": "0.017", "characters": "15"}
    price = Prices({"m": own}).find("m")
    exact = (
        (usage.text_in - usage.text_cached) * Fraction("0.60")
        + usage.text_cached * Fraction("0.06")
        + usage.text_out * Fraction("2.40")
        + (usage.audio_in - usage.audio_cached) * 10
        + usage.audio_cached * Fraction("0.30")
        + usage.audio_out * 20
        + (usage.image_in - usage.image_cached) * Fraction("0.80")
        + usage.image_cached * Fraction("0.08")
        + Fraction(usage.milliseconds, 60_000) * 17_000
        + usage.characters * 15
    )
    assert cost(usage, price) == exact.__ceil__()


@given(usages(), usages())
def test_more_use_never_costs_less(one: Usage, more: Usage) -> None:
    before, after = cost(one, REALTIME_AND_EARS), cost(one + more, REALTIME_AND_EARS)
    assert before is not None
    assert after is not None
    assert before <= after <= before + (cost(more, REALTIME_AND_EARS) or 0)


REALTIME_AND_EARS = Prices(
    {"m": {"like": "gpt-realtime-2.1", "minute": "0.017", "characters": "15"}}
).find("m")
