"""A trouble is logged at once, and how often it recurs every ten seconds."""

from typing import Any

import structlog
from structlog.testing import capture_logs

from relay.metrics import Metrics
from relay.realtime.troubles import Trouble
from relay.session.troubles import MAX_KINDS, REPEAT_SECONDS, TroubleLog

QUOTA = Trouble("response", "insufficient_quota")


def lines(*given: tuple[Trouble, float]) -> tuple[list[dict[str, Any]], str]:
    metrics = Metrics()
    with capture_logs() as logs:
        log = TroubleLog(metrics, structlog.get_logger("test"))
        for trouble, now in given:
            log.report(trouble, now)
        log.close()
    return [dict(line) for line in logs], metrics.render().decode()


def test_the_first_is_logged_at_once_and_the_others_are_counted() -> None:
    logs, metrics = lines(*[(QUOTA, n / 10) for n in range(50)], (QUOTA, REPEAT_SECONDS))
    assert [(line["event"], line.get("repeats")) for line in logs] == [
        ("answer failed", None),
        ("answer failed", 49),
    ]
    assert 'relay_engine_troubles_total{code="insufficient_quota",part="response"} 51.0' in metrics


def test_what_recurred_last_is_told_at_the_end() -> None:
    logs, _ = lines((QUOTA, 0.0), (QUOTA, 1.0), (QUOTA, 2.0))
    assert [line.get("repeats") for line in logs] == [None, 2]


def test_a_line_names_part_code_parameter_and_what_is_left_out() -> None:
    refused = Trouble("settings", "invalid_value", "session.x", dropped="voice")
    (line,), _ = lines((refused, 0.0))
    assert line == {
        "event": "engine refused settings",
        "log_level": "warning",
        "code": "invalid_value",
        "param": "session.x",
        "without": "voice",
    }


def test_what_answers_a_clients_own_event_is_no_warning() -> None:
    (line,), _ = lines((Trouble("error", "invalid_value", is_answer=True), 0.0))
    assert line["log_level"] == "info"


def test_a_session_logs_a_bounded_number_of_kinds() -> None:
    logs, metrics = lines(*[(Trouble("error", f"code_{n}"), 0.0) for n in range(1000)])
    assert len(logs) == MAX_KINDS
    assert 'relay_engine_troubles_total{code="other",part="error"} 1000.0' in metrics
