"""When results are sent and the model is asked to continue, in unusual orders of events."""

from typing import Any

from relay.realtime.effects import ToolCall
from relay.realtime.server_tools import ToolRounds

Event = dict[str, Any]
ASK: Event = {"type": "response.create", "event_id": "c1"}
OUTPUT, FOLLOW_UP = "conversation.item.create", "response.create"
BUSY = "conversation_already_has_active_response"


def call(call_id: str) -> ToolCall:
    return ToolCall(call_id, f"item_{call_id}", "get_weather", "{}")


def done(rounds: ToolRounds, response_id: str, status: str = "completed") -> bool:
    return rounds.response_done({"id": response_id, "status": status}, has_client_call=False)


def after_calls(*call_ids: str) -> ToolRounds:
    """Rounds after a response that made these calls."""
    rounds = ToolRounds()
    rounds.response_created("R1")
    for call_id in call_ids:
        assert rounds.start("R1", call(call_id))
    assert done(rounds, "R1")
    return rounds


def types(events: list[Event]) -> list[str]:
    return [event["type"] for event in events]


def test_our_own_events_have_ids_of_their_own() -> None:
    rounds = after_calls("call_1", "call_2")
    rounds.add_result("call_1", "a")
    rounds.add_result("call_2", "b")
    events = rounds.release()
    assert types(events) == [OUTPUT, OUTPUT, FOLLOW_UP]
    ids = [event["event_id"] for event in events]
    assert len(set(ids)) == 3
    assert all(map(rounds.is_ours, ids))
    assert not rounds.is_ours("c1")
    assert not rounds.is_ours(None)


def test_a_call_that_arrives_after_its_response_ended_is_not_run() -> None:
    rounds = after_calls("call_1")
    assert not rounds.start("R1", call("call_2"))


def test_results_wait_for_a_response_whose_created_event_was_missed() -> None:
    rounds = ToolRounds()
    assert rounds.start("R1", call("call_1"))
    rounds.add_result("call_1", "a")
    assert rounds.release() == []
    done(rounds, "R1")
    assert types(rounds.release()) == [OUTPUT, FOLLOW_UP]


def test_a_create_during_a_response_is_left_to_the_engine_to_refuse() -> None:
    rounds = ToolRounds()
    rounds.response_created("R1")
    rounds.start("R1", call("call_1"))
    assert rounds.client_create(ASK) == [ASK]


def test_a_clients_own_create_replaces_the_follow_up() -> None:
    rounds = after_calls("call_1")
    assert rounds.client_create(ASK) == []
    rounds.add_result("call_1", "a")
    assert rounds.release()[1:] == [ASK]
    rounds.response_created("R2")
    done(rounds, "R2")
    assert rounds.release() == []


def test_a_response_that_began_with_all_results_is_the_follow_up() -> None:
    """The learner speaks, so the model is not asked; then the client asks by itself."""
    rounds = after_calls("call_1")
    rounds.is_user_speaking = True
    rounds.add_result("call_1", "a")
    assert types(rounds.release()) == [OUTPUT]
    rounds.confirm_result("call_1")
    assert rounds.client_create(ASK) == [ASK]
    rounds.response_created("R2")
    rounds.is_user_speaking = False
    done(rounds, "R2")
    assert rounds.release() == []


def refused_during(rounds: ToolRounds, response_id: str, *, code: str = BUSY) -> list[Event]:
    """Our follow-up is refused because of this response; returns what is sent after it."""
    event_id = rounds.release()[-1]["event_id"]
    rounds.response_created(response_id)
    assert rounds.refused(event_id, code) == (code != BUSY)
    done(rounds, response_id)
    return rounds.release()


def test_a_follow_up_refused_during_another_response_is_repeated_after_it() -> None:
    rounds = after_calls("call_1")
    rounds.add_result("call_1", "a")
    assert types(refused_during(rounds, "R2")) == [FOLLOW_UP]


def test_a_follow_up_is_not_repeated_if_that_response_knew_the_results() -> None:
    rounds = after_calls("call_1")
    rounds.is_user_speaking = True
    rounds.add_result("call_1", "a")
    rounds.release()
    rounds.confirm_result("call_1")
    rounds.is_user_speaking = False
    assert refused_during(rounds, "R2") == []


def test_a_follow_up_refused_for_another_reason_is_not_repeated() -> None:
    rounds = after_calls("call_1")
    rounds.add_result("call_1", "a")
    assert refused_during(rounds, "R2", code="rate_limit_exceeded") == []


def test_a_refused_result_does_not_stop_the_follow_up() -> None:
    rounds = after_calls("call_1")
    rounds.add_result("call_1", "a")
    output, _ = rounds.release()
    assert not rounds.refused(output["event_id"], "invalid_value")


def test_a_cancelled_follow_up_is_not_repeated() -> None:
    rounds = after_calls("call_1")
    rounds.add_result("call_1", "a")
    event_id = rounds.release()[-1]["event_id"]
    cancel = {"type": "response.cancel"}
    assert rounds.client_cancel(cancel) == [cancel]
    rounds.response_created("R2")
    rounds.refused(event_id, BUSY)
    done(rounds, "R2", "cancelled")
    assert rounds.release() == []


def test_a_result_that_was_never_confirmed_is_assumed_known_after_the_next_response() -> None:
    rounds = after_calls("call_1")
    rounds.add_result("call_1", "a")
    rounds.release()  # the result is never confirmed
    rounds.response_created("R2")
    rounds.start("R2", call("call_2"))
    done(rounds, "R2")
    rounds.is_user_speaking = True
    rounds.add_result("call_2", "b")
    rounds.release()
    rounds.confirm_result("call_2")
    rounds.is_user_speaking = False
    assert refused_during(rounds, "R3") == []


def test_a_failed_response_gets_no_follow_up() -> None:
    for status in ("failed", "cancelled"):
        rounds = ToolRounds()
        rounds.response_created("R1")
        rounds.start("R1", call("call_1"))
        assert not done(rounds, "R1", status)
        rounds.add_result("call_1", "a")
        assert types(rounds.release()) == [OUTPUT]


def test_an_incomplete_response_gets_a_follow_up() -> None:
    rounds = ToolRounds()
    rounds.response_created("R1")
    rounds.start("R1", call("call_1"))
    assert done(rounds, "R1", "incomplete")
