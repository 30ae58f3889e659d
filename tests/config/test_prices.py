"""Tests of the prices that a relay starts with."""

import re
from pathlib import Path

import pytest

from relay.config import SettingsError, serve_settings

DOCS = (Path(__file__).parents[2] / "docs" / "agents.md").read_text("utf-8")
SERVE = {"RELAY_STORE": "sqlite", "SUPABASE_JWT_SECRET": "s" * 40, "OPENAI_API_KEY": "sk-1"}
BUDGET = """
[agents.default]
model = "ours"
limits.budget_usd_per_day = 5.0
"""
OURS = """
[ours]
like = "gpt-realtime-2.1"
audio_out = "10"
"""


@pytest.fixture
def start(environ, bare):
    """Start with these files of prices and of agents."""

    def read(prices=None, agents=None):
        names = dict(SERVE)
        for name, text in (("RELAY_PRICES", prices), ("RELAY_AGENTS", agents)):
            if text is not None:
                (bare / f"{name}.toml").write_text(text, "utf-8")
                names[name] = f"{name}.toml"
        environ(**names)
        return serve_settings()

    return read


def problem_of(start, *texts):
    with pytest.raises(SettingsError) as error:
        start(*texts)
    (problem,) = error.value.problems
    return problem


def test_the_file_adds_and_overrides_prices(start):
    prices = start(OURS + '[gpt-realtime-mini]\naudio_in = "1"\n').prices
    assert prices.find("ours").audio_out == 10_000_000
    assert prices.find("ours").audio_in == prices.find("gpt-realtime-2.1").audio_in
    assert prices.find("gpt-realtime-mini").audio_in == 1_000_000


def test_without_a_file_the_built_in_prices_are_used(start):
    assert start().prices.find("gpt-realtime-2.1") is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[ours", "not TOML"),
        ("ours = 3", "ours: write a table"),
        ('[ours]\nlike = "nothing"', "no such row in the price table"),
        ('[ours]\naudio_out = "cheap"', "must be a price in dollars"),
    ],
)
def test_an_invalid_price_prevents_the_start(start, text, said):
    assert said in problem_of(start, text)


def test_a_missing_file_prevents_the_start(environ):
    environ(**SERVE, RELAY_PRICES="none.toml")
    with pytest.raises(SettingsError, match=r"RELAY_PRICES=none\.toml cannot be read"):
        serve_settings()


def test_the_example_in_the_docs_is_valid(start):
    (_, example) = re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL)
    prices = start(example).prices
    assert prices.find("my-azure-deployment") == prices.find("gpt-realtime-2.1")
    assert prices.find("gpt-realtime-whisper").minute == 15 * 10**9
    assert prices.find("eleven_flash_v2_5").characters == 40 * 10**6
    assert prices.find("our-llama").text_out == 0


def test_a_budget_needs_a_price(start):
    assert problem_of(start, None, BUDGET) == (
        "agent 'default' has a budget, but ours has no price: see RELAY_PRICES"
    )
    assert start(OURS, BUDGET).prices.find("ours") is not None


CASCADE = {
    "RELAY_STORE": "sqlite",
    "SUPABASE_JWT_SECRET": "s" * 40,
    "RELAY_ENGINE": "cascade",
    "RELAY_AGENTS": "agents.toml",
}
LLAMA = """
[our-llama]
text_in = 0
text_out = 0
"""


@pytest.mark.parametrize(
    ("settings", "unpriced"),
    [
        ({}, None),
        ({"OPENAI_API_KEY": "sk-1"}, None),
        ({"OPENAI_API_KEY": "sk-1", "LLM_MODEL": "gpt-9"}, "gpt-9"),
        ({"OPENAI_API_KEY": "sk-1", "TTS_MODEL": "tts-9"}, "tts-9"),
        ({"OLLAMA_HOST": "http://box:11434", "LLM_MODEL": "our-llama"}, None),
        (
            {"LLM_BASE_URL": "https://x.test/v1", "LLM_API_KEY": "k", "LLM_MODEL": "our-llama"},
            "our-llama",
        ),
        (
            {"LLM_BASE_URL": "https://x.test/v1", "LLM_API_KEY": "k"},
            "the text model (set LLM_MODEL)",
        ),
    ],
)
def test_a_budget_needs_the_price_of_every_part_that_is_billed(environ, bare, settings, unpriced):
    """The session's own model, `ours`, has none either, but a cascade never uses it."""
    (bare / "agents.toml").write_text(BUDGET, "utf-8")
    environ(**CASCADE, **settings)
    if unpriced is None:
        assert serve_settings().agents is not None
        return
    with pytest.raises(SettingsError) as error:
        serve_settings()
    said = f"agent 'default' has a budget, but {unpriced} has no price: see RELAY_PRICES"
    assert error.value.problems == (said,)


def test_a_server_of_ones_own_with_a_key_can_be_given_the_price_of_nothing(environ, bare):
    (bare / "agents.toml").write_text(BUDGET, "utf-8")
    (bare / "prices.toml").write_text(LLAMA, "utf-8")
    there = {"LLM_BASE_URL": "http://box:8000/v1", "LLM_API_KEY": "k", "LLM_MODEL": "our-llama"}
    environ(**CASCADE, **there, RELAY_PRICES="prices.toml")

    price = serve_settings().prices.find("our-llama")
    assert price is not None
    assert price.text_in == 0
