"""When results go up and the model is asked, where the order is an odd one."""

from typing import Any

from relay.realtime.server_tools import ToolRounds

Event = dict[str, Any]
ASK: Event = {"type": "response.create", "event_id": "c1"}
OUTPUT, GO_ON = "conversation.item.create", "response.create"
BUSY = "conversation_already_has_active_response"


def done(rounds: ToolRounds, response_id: str, status: str = "completed") -> bool:
    return rounds.done({"id": response_id, "status": status}, client_answers=False)


def called(*call_ids: str) -> ToolRounds:
    """A response in which these calls were made is over."""
    rounds = ToolRounds()
    rounds.created("R1")
    for call_id in call_ids:
        assert rounds.begin("R1", call_id, "{}")
    assert done(rounds, "R1")
    return rounds


def types(events: list[Event]) -> list[str]:
    return [event["type"] for event in events]


def test_events_of_ours_have_ids_of_their_own() -> None:
    rounds = called("call_1", "call_2")
    rounds.result("call_1", "a")
    rounds.result("call_2", "b")
    events = rounds.release()
    assert types(events) == [OUTPUT, OUTPUT, GO_ON]
    ids = [event["event_id"] for event in events]
    assert len(set(ids)) == 3
    assert all(map(rounds.is_ours, ids))
    assert not rounds.is_ours("c1")
    assert not rounds.is_ours(None)


def test_a_call_that_turns_up_after_its_response_ended_is_not_begun() -> None:
    rounds = called("call_1")
    assert not rounds.begin("R1", "call_2", "{}")


def test_a_response_whose_beginning_was_missed_is_waited_for() -> None:
    rounds = ToolRounds()
    assert rounds.begin("R1", "call_1", "{}")
    rounds.result("call_1", "a")
    assert rounds.release() == []
    done(rounds, "R1")
    assert types(rounds.release()) == [OUTPUT, GO_ON]


def test_a_client_that_asks_during_a_response_is_refused_by_the_engine_and_not_here() -> None:
    rounds = ToolRounds()
    rounds.created("R1")
    rounds.begin("R1", "call_1", "{}")
    assert rounds.client_asks(ASK) == [ASK]


def test_after_the_clients_own_wish_nothing_is_owed() -> None:
    rounds = called("call_1")
    assert rounds.client_asks(ASK) == []
    rounds.result("call_1", "a")
    assert rounds.release()[1:] == [ASK]
    rounds.created("R2")
    done(rounds, "R2")
    assert rounds.release() == []


def test_a_response_that_began_with_all_results_pays_what_is_owed() -> None:
    """Somebody speaks, so the model was not asked; then the client asks it by itself."""
    rounds = called("call_1")
    rounds.speaks(True)
    rounds.result("call_1", "a")
    assert types(rounds.release()) == [OUTPUT]
    rounds.confirmed("call_1")
    assert rounds.client_asks(ASK) == [ASK]
    rounds.created("R2")
    rounds.speaks(False)
    done(rounds, "R2")
    assert rounds.release() == []


def refused_by(rounds: ToolRounds, response_id: str, *, code: str = BUSY) -> list[Event]:
    """Our wish met this response, which was faster; what goes up when that is over."""
    event_id = rounds.release()[-1]["event_id"]
    rounds.created(response_id)
    assert rounds.refused(event_id, code) == (code != BUSY)
    done(rounds, response_id)
    return rounds.release()


def test_a_wish_that_met_another_response_is_repeated_after_it() -> None:
    rounds = called("call_1")
    rounds.result("call_1", "a")
    assert types(refused_by(rounds, "R2")) == [GO_ON]


def test_not_when_that_response_knew_the_results() -> None:
    rounds = called("call_1")
    rounds.speaks(True)
    rounds.result("call_1", "a")
    rounds.release()
    rounds.confirmed("call_1")
    rounds.speaks(False)
    assert refused_by(rounds, "R2") == []


def test_a_wish_that_was_refused_for_good_is_not_repeated() -> None:
    rounds = called("call_1")
    rounds.result("call_1", "a")
    assert refused_by(rounds, "R2", code="rate_limit_exceeded") == []


def test_a_result_that_was_refused_stops_nothing() -> None:
    rounds = called("call_1")
    rounds.result("call_1", "a")
    output, _ = rounds.release()
    assert not rounds.refused(output["event_id"], "invalid_value")


def test_a_cancelled_wish_is_not_repeated() -> None:
    rounds = called("call_1")
    rounds.result("call_1", "a")
    event_id = rounds.release()[-1]["event_id"]
    cancel = {"type": "response.cancel"}
    assert rounds.client_cancels(cancel) == [cancel]
    rounds.created("R2")
    rounds.refused(event_id, BUSY)
    done(rounds, "R2", "cancelled")
    assert rounds.release() == []


def test_an_engine_that_confirms_nothing_is_not_mistrusted_for_ever() -> None:
    rounds = called("call_1")
    rounds.result("call_1", "a")
    rounds.release()  # … and the result is never told to have been taken
    rounds.created("R2")
    rounds.begin("R2", "call_2", "{}")
    done(rounds, "R2")
    rounds.speaks(True)
    rounds.result("call_2", "b")
    rounds.release()
    rounds.confirmed("call_2")
    rounds.speaks(False)
    assert refused_by(rounds, "R3") == []


def test_a_failed_response_owes_nothing() -> None:
    for status in ("failed", "cancelled"):
        rounds = ToolRounds()
        rounds.created("R1")
        rounds.begin("R1", "call_1", "{}")
        assert not done(rounds, "R1", status)
        rounds.result("call_1", "a")
        assert types(rounds.release()) == [OUTPUT]


def test_an_incomplete_one_does() -> None:
    rounds = ToolRounds()
    rounds.created("R1")
    rounds.begin("R1", "call_1", "{}")
    assert done(rounds, "R1", "incomplete")
