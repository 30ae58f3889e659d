"""What turns cost: real usage, by hand."""

import pytest

from relay.check.prices import MODELS, price_of_response, price_of_transcript

USAGE = {
    "total_tokens": 1560,
    "input_tokens": 1500,
    "output_tokens": 60,
    "input_token_details": {
        "text_tokens": 500,
        "audio_tokens": 1000,
        "image_tokens": 0,
        "cached_tokens": 700,
        "cached_tokens_details": {"text_tokens": 300, "audio_tokens": 400, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 44, "audio_tokens": 16, "reasoning_tokens": 31},
}


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        # 200·4 + 300·0.4 + 600·32 + 400·0.4 + 44·24 + 16·64, for a million
        ("gpt-realtime-2.1", 0.02236),
        ("gpt-realtime-2", 0.02236),
        ("gpt-realtime-2.1-2026-07-01", 0.02236),
        ("gpt-realtime-1.5", 0.022008),
        # 200·0.6 + 300·0.06 + 600·10 + 400·0.3 + 44·2.4 + 16·20
        ("gpt-realtime-2.1-mini", 0.0066836),
    ],
)
def test_each_kind_has_its_price_and_what_is_cached_another(model: str, usd: float) -> None:
    assert price_of_response(model, USAGE) == pytest.approx(usd)


def test_usage_without_details_of_the_cache_is_all_fresh() -> None:
    usage = {"input_token_details": {"text_tokens": 100}, "output_token_details": {}}

    assert price_of_response("gpt-realtime-2.1", usage) == pytest.approx(0.0004)


def test_images_are_paid_too() -> None:
    usage = {"input_token_details": {"image_tokens": 1000}, "output_token_details": None}

    assert price_of_response("gpt-realtime-2.1-mini", usage) == pytest.approx(0.0008)


def test_an_answer_that_failed_used_nothing_that_is_known() -> None:
    assert price_of_response("gpt-realtime-2.1", None) is None


@pytest.mark.parametrize("model", ["gpt-realtime", "gpt-realtime-2.1-maxi", "", "any"])
def test_a_price_that_nobody_has_seen_is_not_made_up(model: str) -> None:
    assert model not in MODELS
    assert price_of_response(model, USAGE) is None


@pytest.mark.parametrize(
    ("model", "usage", "usd"),
    [
        ("gpt-realtime-whisper", {"type": "duration", "seconds": 3}, 0.00085),
        ("gpt-live-transcribe", {"type": "duration", "seconds": 60}, 0.017),
        ("gpt-realtime-whisper", {"type": "tokens", "input_tokens": 9}, None),
        ("gpt-realtime-whisper", None, None),
        ("whisper-1", {"type": "duration", "seconds": 3}, None),
    ],
)
def test_what_is_written_down_is_paid_by_the_minute(
    model: str, usage: dict[str, object] | None, usd: float | None
) -> None:
    priced = price_of_transcript(model, usage)

    assert priced == (None if usd is None else pytest.approx(usd))
