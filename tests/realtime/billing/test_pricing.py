"""The price table, compared with the price sheet, and the lookup by model name."""

import re
from typing import Any

import pytest

from relay.realtime.billing import pricing as prices
from relay.realtime.billing.pricing import Price, Prices

SHEET = {
    "gpt-realtime-2.1": ("4 / 0.40 / 24", "32 / 0.40 / 64", "5 / 0.50"),
    "gpt-realtime-2": ("4 / 0.40 / 24", "32 / 0.40 / 64", "5 / 0.50"),
    "gpt-realtime-1.5": ("4 / 0.40 / 16", "32 / 0.40 / 64", "5 / 0.50"),
    "gpt-realtime": ("4 / 0.40 / 16", "32 / 0.40 / 64", "5 / 0.50"),
    "gpt-realtime-2.1-mini": ("0.60 / 0.06 / 2.40", "10 / 0.30 / 20", "0.80 / 0.08"),
    "gpt-realtime-mini": ("0.60 / 0.06 / 2.40", "10 / 0.30 / 20", "0.80 / 0.08"),
}
"""Text in, cached and out, audio in, cached and out, image in and cached; dollars a million."""


def pico(dollars: str) -> list[int]:
    """`4 / 0.40` dollars a million tokens in pico-dollars a token, computed in another way."""
    wholes = (amount.partition(".") for amount in dollars.split(" / "))
    return [int(whole) * 10**6 + int(f"{part:<06}"[:6]) for whole, _, part in wholes]


@pytest.mark.parametrize("model", SHEET)
def test_the_table_agrees_with_the_price_sheet(model: str) -> None:
    price = Prices().find(model)
    assert price is not None
    text, audio, image = map(pico, SHEET[model])
    assert [price.text_in, price.text_cached, price.text_out] == text
    assert [price.audio_in, price.audio_cached, price.audio_out] == audio
    assert [price.image_in, price.image_cached] == image
    assert price.minute is None


def test_transcribers_are_priced_by_the_minute_or_by_tokens() -> None:
    found = Prices()
    assert found.find("gpt-realtime-whisper") == Price(minute=17_000_000_000)
    assert found.find("gpt-live-transcribe") == Price(minute=17_000_000_000)
    assert found.find("gpt-realtime-translate") == Price(minute=34_000_000_000)
    assert found.find("gpt-transcribe") == Price(minute=6_000_000_000, inferred=True)
    assert found.find("whisper-1") == Price(minute=6_000_000_000)
    by_tokens = {"text_in": 1_250_000, "audio_in": 1_250_000, "text_out": 5_000_000}
    by_tokens["minute"] = 3_000_000_000
    assert found.find("gpt-4o-mini-transcribe") == Price(**by_tokens, inferred=True)
    by_tokens = {"text_in": 2_500_000, "audio_in": 2_500_000, "text_out": 10_000_000}
    by_tokens["minute"] = 6_000_000_000
    assert found.find("gpt-4o-transcribe") == Price(**by_tokens, inferred=True)


@pytest.mark.parametrize(
    ("model", "sheet"),
    [
        ("gpt-4.1", "2 / 0.50 / 8"),
        ("gpt-4.1-mini", "0.40 / 0.10 / 1.60"),
        ("gpt-4.1-nano", "0.10 / 0.025 / 0.40"),
        ("gpt-4o", "2.50 / 1.25 / 10"),
        ("gpt-4o-mini", "0.15 / 0.075 / 0.60"),
    ],
)
def test_text_models_are_priced_by_tokens(model: str, sheet: str) -> None:
    price = Prices().find(model)
    assert price is not None
    assert [price.text_in, price.text_cached, price.text_out] == pico(sheet)
    assert (price.audio_in, price.minute, price.characters) == (None, None, None)


@pytest.mark.parametrize(
    ("model", "dollars"),
    [
        ("tts-1", 15),
        ("tts-1-hd", 30),
        ("eleven_flash_v2_5", 50),
        ("eleven_multilingual_v2", 100),
        ("azure-neural", 16),
    ],
)
def test_speech_is_priced_by_a_million_characters(model: str, dollars: int) -> None:
    price = Prices().find(model)
    assert price is not None
    assert (price.characters, price.minute) == (dollars * 10**6, None)


def test_inferred_prices_are_marked() -> None:
    found = {model: Prices().find(model) for model in prices.TABLE}
    assert {model for model, price in found.items() if price is not None and price.inferred} == {
        *("gpt-realtime", "gpt-realtime-mini", "gpt-transcribe"),
        *("gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-mini-tts"),
        *("gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "gpt-4o", "gpt-4o-mini"),
        *("eleven_flash_v2_5", "eleven_flash_v2", "eleven_turbo_v2_5"),
        *("eleven_multilingual_v2", "eleven_v3", "azure-neural", "azure-speech"),
    }


def test_the_table_has_a_date() -> None:
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", prices.DATE)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("gpt-realtime-2.1-mini-2026-07-01", "gpt-realtime-2.1-mini"),
        ("gpt-realtime-2025-08-28", "gpt-realtime"),
        ("gpt-4o-mini-transcribe-2025-12-15", "gpt-4o-mini-transcribe"),
    ],
)
def test_a_dated_version_has_the_price_of_its_model(name: str, row: str) -> None:
    assert Prices().find(name) == Prices().find(row) is not None


@pytest.mark.parametrize(
    "name",
    [
        *(
            "gpt-realtime-3",
            "gpt-realtime-2.1-max",
            "gpt-realtime-2.10",
            "gpt-4o-transcribe-diarize",
        ),
        *("gpt-4o-realtime-preview-2024-12-17", "whisper-2", "gpt-realtime-", "", "GPT-REALTIME"),
        *("gpt-realtime-2.1-2026-07-01-2026-07-02", "gpt-realtime-2026-07-01\n", "2026-07-01"),
    ],
)
def test_a_name_that_only_begins_like_a_known_one_has_no_price(name: str) -> None:
    assert Prices().find(name) is None


def test_an_operators_deployment_can_be_like_a_model() -> None:
    own = Prices({"my-voice": {"like": "gpt-realtime-2.1"}, "ours": {"like": "my-voice"}})
    assert own.find("my-voice") == Prices().find("gpt-realtime-2.1") == own.find("ours")
    assert own.find("my-voice-2026-11-01") == own.find("my-voice")
    assert Prices().find("my-voice") is None, "the table itself is never changed"


def test_a_discount_changes_its_row_and_the_rows_that_are_like_it() -> None:
    own = Prices({"gpt-realtime-1.5": {"audio_out": 50.5, "text_in": 3}})
    for model in ("gpt-realtime-1.5", "gpt-realtime", "gpt-realtime-1.5-2026-01-01"):
        price = own.find(model)
        assert price is not None
        assert (price.audio_out, price.text_in) == (50_500_000, 3_000_000)
        assert (price.audio_in, price.text_out) == (32_000_000, 16_000_000)


def test_a_dated_version_with_a_row_of_its_own_has_that_price() -> None:
    own = Prices({"gpt-realtime-2-2026-07-01": {"like": "gpt-realtime-2", "text_in": "1"}})
    priced, others = own.find("gpt-realtime-2-2026-07-01"), own.find("gpt-realtime-2-2026-07-02")
    assert priced is not None
    assert priced.text_in == 1_000_000
    assert others == Prices().find("gpt-realtime-2")


def test_a_number_is_as_exact_as_a_text() -> None:
    for amount in ("0.0375", 0.0375):
        own = Prices({"m": {"text_in": amount, "minute": amount, "characters": amount}})
        exact = Price(text_in=37_500, minute=37_500_000_000, characters=37_500)
        assert own.find("m") == exact


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"text_in": "cheap"}, "m: 'text_in'"),
        ({"text_in": None}, "m: 'text_in'"),
        ({"text_in": True}, "m: 'text_in'"),
        ({"minute": -1}, "m: 'minute'"),
        ({"characters": "many"}, "m: 'characters'"),
        ({"audio_in": float("nan")}, "m: 'audio_in'"),
        ({"audio_in": "Infinity"}, "m: 'audio_in'"),
        ({"audio_in": "1e999999999"}, "m: 'audio_in'"),
        ({"audio_in": "0.0000001"}, "m: 'audio_in'"),
        ({"audio_inn": "1"}, "m: unknown price field 'audio_inn'"),
        ({"like": "nobody"}, "m like nobody"),
        ({"like": "m"}, "m like m"),
        ({"like": "gpt-realtime", "video_in": 1}, "'video_in'"),
    ],
)
def test_an_invalid_price_is_named_in_the_error(row: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=re.escape(what)):
        Prices({"m": row})
