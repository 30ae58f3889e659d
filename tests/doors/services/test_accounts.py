"""What a call costs: usage in the journal, and budgets that it is charged to."""

from collections.abc import AsyncIterator
from dataclasses import replace

from relay.parts.interfaces import ReplyDelta, ReplyPiece, ReplyRequest, TokenUsage
from relay.realtime.billing.budget import BudgetHold, Budgets, Limit
from relay.realtime.billing.usage import day_of
from relay.realtime.grant import Bounds, Grant
from relay.realtime.records import UsageRecord
from tests.doors.services.stage import CONFIG, Setting, scripted, services, wav
from tests.doors.services.test_tools import NOBODY, with_agent

MODEL = "gpt-4o-mini"


class Priced:
    """A model that counts its tokens."""

    name = MODEL

    async def respond(self, request: ReplyRequest) -> AsyncIterator[ReplyPiece]:
        if request.taken_over and request.model:
            request.taken_over(request.model)
        yield ReplyDelta("Yes.")
        yield TokenUsage(1_000_000, 100_000)


PARTS = replace(scripted(), make_responder=Priced, billed=frozenset({MODEL}))


async def test_each_call_writes_what_every_model_used() -> None:
    async with services(Setting(parts=PARTS)) as stage:
        await stage.post("/ai/process-audio", {"audio": wav(), "config": CONFIG})
        records = stage.written.records

    rows = {one.line.model: one for one in records if isinstance(one, UsageRecord)}
    assert rows[MODEL].line.usage.text_in == 1_000_000
    assert rows[MODEL].micro == 150_000 + 60_000
    assert (rows["script"].line.usage.milliseconds, rows["script"].micro) == (500, 0)
    assert {one.head.user_id for one in records} == {"ada"}


async def test_another_model_of_a_billed_server_is_billed_too() -> None:
    config = {**CONFIG, "model": "gpt-4o"}
    async with services(Setting(parts=PARTS)) as stage:
        await stage.post("/ai/generate", {"text": "Hello", "config": config})
        (record,) = stage.written.records

    assert isinstance(record, UsageRecord)
    assert (record.line.model, record.micro) == ("gpt-4o", 2_500_000 + 1_000_000)


async def test_a_model_without_a_price_is_told_so_and_may_spend_no_budget() -> None:
    body = {"text": "Hello", "config": {**CONFIG, "model": "dear-1"}}
    budgeted = Grant(NOBODY, "tutor", bounds=Bounds(budget_micro=10_000))
    async with services(Setting(parts=PARTS)) as stage:
        await stage.post("/ai/generate", body)
        (unpriced,) = stage.written.records
    async with services(Setting(parts=PARTS, defaults=with_agent(budgeted))) as stage:
        answered = await stage.post("/ai/generate", body)

    assert isinstance(unpriced, UsageRecord)
    assert (unpriced.line.model, unpriced.micro) == ("dear-1", None)
    assert answered.body["model"] == MODEL


async def test_a_call_holds_budget_and_settles_what_it_used() -> None:
    budgets, holds = Budgets(), []
    limit = Limit("agent:default", 10_000_000)

    async def hold(grant: Grant, call_id: str, now: float) -> BudgetHold | None:
        made = budgets.open(call_id, [limit], day_of(now))
        assert made.reserve(20_000, day_of(now))
        holds.append(made)
        return made

    async with services(Setting(parts=PARTS, open_budget=hold)) as stage:
        await stage.post("/ai/generate", {"text": "Hello", "config": CONFIG})

    assert budgets.open("later", [limit], day_of(1.7e9)).balance().left == 10_000_000 - 210_000
