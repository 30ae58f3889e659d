"""`relay check`: what would work here, what would not, and how to mend that."""

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from relay.app import make_engine
from relay.check.engine import (
    LiveCheckFailed,
    LiveCheckOptions,
    LiveReport,
    run_live_check,
    spoken_question,
)
from relay.check.runner import CheckResult, CheckTimeouts, report_slow, run_checks
from relay.cli.checklist import SetupReport, parts_of, read_settings
from relay.cli.console import fail, plain, say
from relay.config import Settings
from relay.logs import configure

HELP = "say what would work here and how to mend what would not"
EXAMPLE = "relay check --live"
LIVE: Final = "live"


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--live", action="store_true", help="also take a voice and a text turn; costs some cents"
    )
    parser.add_argument("--json", action="store_true", help="print it all as one JSON object")


def run(given: argparse.Namespace) -> int:
    """Look at every part; exit code 1 when one would not work."""
    reading = read_settings()
    settings = reading.settings
    if given.live and settings is not None and not _has_key(settings):
        fail("--live needs a voice to talk to: set OPENAI_API_KEY (or OPENAI_BASE_URL)")
    # What the parts would log is what their findings say.
    with contextlib.closing(configure("error", console=False)):
        seen = asyncio.run(_look(reading, given))
    if given.json:
        say(json.dumps(_as_json(seen), ensure_ascii=False))
    elif seen.report is not None:
        for line in _lines(seen.report):
            say(line)
    return 0 if seen.well else 1


def _has_key(settings: Settings) -> bool:
    return bool(settings.openai_api_key or settings.azure_openai_api_key)


@dataclass(slots=True)
class _Seen:
    """All that was found."""

    findings: list[CheckResult] = field(default_factory=list)
    report: LiveReport | None = None

    @property
    def well(self) -> bool:
        return all(finding.state != "fail" for finding in self.findings)


async def _look(reading: SetupReport, given: argparse.Namespace) -> _Seen:
    seen = _Seen()
    async for finding in _findings(reading, seen if given.live else None):
        seen.findings.append(finding)
        if not given.json:
            say(str(finding))
    return seen


async def _findings(reading: SetupReport, live_seen: _Seen | None) -> AsyncIterator[CheckResult]:
    for finding in reading.findings:
        yield finding
    patience = CheckTimeouts(_slow)
    async for finding in run_checks(parts_of(reading), patience):
        yield finding
    if live_seen is not None and reading.settings is not None:
        with report_slow(LIVE, patience):
            yield await _live(reading.settings, live_seen)


async def _live(settings: Settings, seen: _Seen) -> CheckResult:
    voice = make_engine(settings.model_copy(update={"relay_engine": "openai"}))
    options = LiveCheckOptions(
        model=settings.openai_realtime_model,
        transcription_model=settings.openai_transcription_model,
        question=await spoken_question(),
    )
    try:
        seen.report = await run_live_check(voice, options)
    except LiveCheckFailed as failed:
        mend = "see OPENAI_API_KEY, OPENAI_REALTIME_MODEL and OPENAI_TRANSCRIPTION_MODEL"
        return CheckResult("fail", str(failed), mend, LIVE)
    finally:
        await voice.aclose()
    return CheckResult("ok", f"a voice turn and a text turn with {seen.report.model}", part=LIVE)


def _slow(part: str, seconds: float) -> None:
    print(f"     {part}: still waiting after {seconds:.0f} s", file=sys.stderr)  # noqa: T201


def _lines(report: LiveReport) -> list[str]:
    unknown = ", ".join(f"{kind} ({count})" for kind, count in sorted(report.unknown.items()))
    table = {
        "connect": f"{report.connect_ms} ms until session.created",
        "first audio": f"{report.first_audio_ms} ms after the end of speech",
        "first text": f"{report.first_text_ms} ms after the question",
        "you": report.heard,
        "voice": f"{report.spoken} ({report.audio_seconds:.1f} s)",
        "text": report.written,
        "unknown events": unknown or "none",
        "cost": _cost(report),
    }
    return [f"     {name + ':':16}{plain(text)}" for name, text in table.items()]


def _cost(report: LiveReport) -> str:
    if report.unpriced:
        return f"no price is known for {', '.join(report.unpriced)}"
    return f"{report.cost_usd:.4f} dollars at the prices of {report.priced_at}"


def _as_json(seen: _Seen) -> dict[str, Any]:
    told = asdict(seen.report) if seen.report is not None else None
    return {"ok": seen.well, "parts": [_part(one) for one in seen.findings], "live": told}


def _part(result: CheckResult) -> dict[str, str]:
    return {
        "state": result.state,
        "what": result.what,
        "mend": result.hint,
        "part": result.part,
    }
