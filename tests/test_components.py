"""A test without its component is skipped with the reason; where that hides a hole, it fails."""

import os
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.components import COMPONENTS, Component, entry, modules, needs, program, require

pytest_plugins = ["pytester"]


def absent(installable: bool) -> Component:
    return Component(lambda: None, "apt-get install organ", lambda: installable)


@pytest.fixture
def organ(monkeypatch: pytest.MonkeyPatch) -> Callable[[Component], None]:
    return lambda component: monkeypatch.setitem(COMPONENTS, "organ", component)


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_component_that_can_be_installed_is_here(name: str) -> None:
    """With CI=true this is where a missing one is named, whether or not a test uses it."""
    assert require(name).exists()


def test_a_component_that_is_here_gives_its_path(organ, tmp_path: Path) -> None:
    organ(Component(lambda: tmp_path, "", lambda: True))

    assert require("organ") == tmp_path


@pytest.mark.parametrize(("ci", "installable"), [("", True), ("", False), ("true", False)])
def test_without_it_the_test_is_skipped_and_told_what_brings_it(
    organ, monkeypatch: pytest.MonkeyPatch, ci: str, installable: bool
) -> None:
    monkeypatch.setenv("CI", ci)
    organ(absent(installable))

    with pytest.raises(pytest.skip.Exception, match=r"organ is not here.* apt-get install organ"):
        require("organ")


def test_in_ci_a_skip_that_could_be_avoided_is_a_failure(
    organ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    organ(absent(installable=True))

    with pytest.raises(pytest.fail.Exception, match="organ is not here"):
        require("organ")


def test_a_name_that_no_component_has_is_a_mistake_in_the_test() -> None:
    with pytest.raises(KeyError):
        needs("organ")


def test_the_mark_skips_before_a_fixture_starts_what_is_not_there(
    organ, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "")
    organ(absent(installable=False))
    hooks = (Path(__file__).parent / "conftest.py").read_text()
    pytester.makeconftest(hooks)
    pytester.makepyfile(
        """
        import pytest
        from tests.components import needs

        @pytest.fixture(scope="session")
        def pipes():
            raise OSError("no pipes")

        @needs("organ")
        def test_play(pipes): ...

        @needs("organ")
        class TestTune:
            def test_tune(self): ...

        def test_hum(): ...
        """
    )

    pytester.runpytest_inprocess("-p", "no:asyncio").assert_outcomes(passed=1, skipped=2)


def test_programs_are_found_where_servers_live(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    organ = tmp_path / "organ"
    organ.touch(mode=0o755)
    monkeypatch.setenv("PATH", os.devnull)
    assert program("organ")() is None

    monkeypatch.setattr("tests.components.SYSTEM_FOLDERS", str(tmp_path))
    assert program("organ")() == organ


def test_a_folder_counts_only_with_what_belongs_in_it(tmp_path: Path) -> None:
    assert entry(tmp_path, "voice.wav")() is None
    (tmp_path / "voice.wav").touch()
    assert entry(tmp_path, "voice.wav")() == tmp_path


def test_modules_count_only_together() -> None:
    assert modules("json", "no_such_module")() is None
    assert modules("wave", "json")() == Path(wave.__file__)


@needs("human_recordings", "ffmpeg")
@pytest.mark.parametrize("name", ["conf-onlyperson", "transfer", "queue-thankyou", "conf-invalid"])
def test_a_human_voice_is_a_wav_at_the_rate_of_the_wire(human_wav, name: str) -> None:
    with wave.open(str(human_wav(name))) as wav:
        assert wav.getparams()[:3] == (1, 2, 24000)
        seconds = wav.getnframes() / wav.getframerate()
        loudest = max(abs(sample) for sample in memoryview(wav.readframes(-1)).cast("h"))

    assert 1 < seconds < 10
    assert loudest > 1000
