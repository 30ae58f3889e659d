import json

from tests.http.listener import ask, listening


async def test_ready_when_no_part_has_a_reason():
    async with listening(ready={"journal": lambda: None, "draining": lambda: None}) as server:
        answer = await ask(server, "/ready")
    assert (answer.status, json.loads(answer.body)) == (200, {"status": "ready"})


async def test_not_ready_names_each_part_with_its_reason():
    parts = {
        "journal": lambda: "the disk is full",
        "engine": lambda: None,
        "draining": lambda: "the process is shutting down",
    }
    async with listening(ready=parts) as server:
        answer = await ask(server, "/ready")
    assert answer.status == 503
    assert json.loads(answer.body) == {
        "status": "not ready",
        "parts": {"journal": "the disk is full", "draining": "the process is shutting down"},
    }


async def test_readiness_is_checked_at_every_request_and_health_does_not_depend_on_it():
    reason: list[str | None] = [None]
    async with listening(ready={"draining": lambda: reason[0]}) as server:
        assert (await ask(server, "/ready")).status == 200
        reason[0] = "the process is shutting down"
        assert (await ask(server, "/ready")).status == 503
        assert (await ask(server, "/health")).status == 200
