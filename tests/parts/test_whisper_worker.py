"""The rules of the transcribing process: what counts as understood, and where a turn is cut."""

import subprocess
import sys
from contextlib import suppress

import pytest

from tests.components import needs

with suppress(ImportError):  # without the extra, `needs("voice")` says so
    import numpy as np

    from relay.parts.whisper import units
    from relay.parts.whisper_worker import (
        LONGEST_PIECE_SECONDS,
        MODEL_RATE,
        SHORTEST_PIECE_SECONDS,
        Heard,
        find_model,
        is_understood,
        pieces_of,
        repeats_itself,
        spoken_language,
    )
    from relay.parts.worker_process import pack, unpack
    from tests.parts.sounds import SECOND

pytestmark = needs("voice")


class TestModels:
    def test_a_folder_is_taken_as_it_is(self, tmp_path):
        (tmp_path / "model.bin").touch()
        assert find_model(str(tmp_path)) == str(tmp_path)

    @pytest.mark.parametrize("name", ["small.en", "Systran/faster-whisper-small.en"])
    def test_other_names_are_the_hub_s(self, name):
        assert find_model(name) == name

    def test_a_folder_without_a_model_is_told(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="in the folder that STT_MODEL names"):
            find_model(str(tmp_path))

    @pytest.mark.parametrize("name", ["/no/where", "./small.en", "~/w", "models/", "a/b/c"])
    def test_a_folder_that_is_not_there_is_told(self, name):
        with pytest.raises(FileNotFoundError, match="folder that STT_MODEL names does not exist"):
            find_model(name)


class TestUnderstood:
    def test_a_likely_sentence_is(self):
        assert is_understood(Heard("Please hold the line.", 6, -0.2, 0.05))

    @pytest.mark.parametrize("text", ["", " ", "...", "- -"])
    def test_no_word_is_nothing(self, text):
        assert not is_understood(Heard(text, 3, -0.1, 0.0))

    def test_an_unlikely_sentence_is_another_language(self):
        assert not is_understood(Heard("part of a momento, hosted as La Una", 12, -0.95, 0.1))

    @pytest.mark.parametrize(
        ("tokens", "likelihood", "understood"),
        [
            (2, -1.2, True),
            (6, -1.2, False),
            (6, -0.75, True),
            (12, -0.75, False),
            (20, -0.6, False),
        ],
    )
    def test_a_word_may_be_less_likely_than_a_sentence(self, tokens, likelihood, understood):
        assert is_understood(Heard("Whiskey", tokens, likelihood, 0.1)) == understood

    def test_doubtful_words_where_probably_nobody_spoke_are_not(self):
        assert not is_understood(Heard("Thank you.", 4, -0.6, 0.8))
        assert is_understood(Heard("Thank you.", 4, -0.6, 0.3))
        assert is_understood(Heard("Thank you.", 4, -0.2, 0.8))

    def test_a_loop_is_not(self):
        assert not is_understood(Heard("I'm not sure that " * 12, 60, -0.2, 0.1))

    def test_a_model_of_many_languages_has_told_the_language_itself(self):
        doubtful = Heard("Por favor, espere un momento", 8, -0.9, 0.1)
        assert is_understood(doubtful, multilingual=True)
        assert not is_understood(doubtful, multilingual=False)


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("Whiskey Whiskey Whiskey", True),
        ("Press one. Press one. Press one.", True),
        ("== == == ==", True),
        ("No, no, no.", True),
        ("Please hold the line. Please hold the line.", True),
        ("Thank you. Thank you.", False),
        ("Please hold while I try that extension.", False),
        ("Press 1 for yes, press 2 for no, press 3 to hear it again.", False),
        ("", False),
    ],
)
def test_a_phrase_three_times_in_a_row_or_a_long_one_twice_may_be_a_loop(text, loops):
    assert repeats_itself(text) == loops


def test_what_was_really_said_three_times_passes_when_it_is_heard_again():
    assert is_understood(Heard("No, no, no.", 7, -0.3, 0.1))


SHARES = {"es": 0.8, "en": 0.15, "fr": 0.05}


class TestSpokenLanguage:
    def test_without_an_expectation_it_is_the_likeliest(self):
        assert spoken_language(SHARES, None) == "es"
        assert spoken_language(SHARES, "no such language") == "es"

    def test_surely_another_than_the_expected_is_none(self):
        assert spoken_language(SHARES, "en") == ""
        assert spoken_language(SHARES, "es") == "es"

    def test_in_doubt_it_is_the_expected(self):
        assert spoken_language({"es": 0.5, "en": 0.4}, "en") == "en"


class TestPieces:
    def test_a_short_turn_is_one(self):
        assert [len(piece) for piece in pieces_of(np.ones(MODEL_RATE, np.float32))] == [MODEL_RATE]

    def test_a_long_one_is_cut_where_it_is_quiet_and_nothing_is_lost(self):
        turn = np.random.default_rng(1).standard_normal(30 * MODEL_RATE).astype(np.float32)
        turn[9 * MODEL_RATE : 10 * MODEL_RATE] = 0
        pieces = list(pieces_of(turn))
        assert 9 <= len(pieces[0]) / MODEL_RATE <= 10
        assert np.array_equal(np.concatenate(pieces), turn)

    def test_none_is_longer_than_the_longest_or_shorter_than_the_shortest_but_the_last(self):
        turn = np.random.default_rng(1).standard_normal(100 * MODEL_RATE).astype(np.float32)
        seconds = [len(piece) / MODEL_RATE for piece in pieces_of(turn)]
        assert max(seconds) <= LONGEST_PIECE_SECONDS
        assert min(seconds[:-1]) >= SHORTEST_PIECE_SECONDS


def test_a_short_turn_costs_a_window_and_a_long_one_its_length():
    assert units(0) == units(3 * SECOND) == 1
    assert units(60 * SECOND) == 6


def test_what_is_packed_is_unpacked():
    assert unpack(pack(b"{}", b"sound")) == (b"{}", b"sound")
    assert unpack(pack(b"", b"")) == (b"", b"")


def test_no_speech_library_comes_into_the_relays_own_process():
    check = (
        "import sys; import relay.parts.whisper;"
        "print({'faster_whisper', 'ctranslate2', 'numpy'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, check=True)
    assert ran.stdout == b"set()\n"


@pytest.mark.slow
def test_the_packages_that_the_lock_leaves_out_are_not_missed():
    check = (
        "import sys; sys.modules['hf_xet'] = None; from relay.parts import whisper_worker;"
        "whisper_worker.leave_out_decoders(); whisper_worker.load(('', 'cpu', '2'));"
        "print(hasattr(sys.modules['av'], 'open'))"
    )
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, check=True)
    assert ran.stdout == b"False\n"
