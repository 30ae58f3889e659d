"""The model's summary where it answers, else an extract that says so."""

import asyncio
from collections.abc import Sequence

import pytest

from relay.summary.extract import FAILED, NO_MODEL, Points, SpokenLine
from relay.summary.summarizer import AT_ONCE, ModelFailed, Summarizer, TooMany
from tests.stores.words import CONVERSATION, SESSION, Call

CALL = Call()
SAID = [CALL.user("I will stretch my knee."), CALL.assistant("Your knee will thank you.")]
NOW = 1_760_000_100.0


class Model:
    """Answers when it may."""

    model = "small-model"

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.may.set()
        self.asked = 0
        self.broken = False

    async def write(self, lines: Sequence[SpokenLine]) -> Points:
        self.asked += 1
        await self.may.wait()
        if self.broken:
            raise ModelFailed("status 500")
        return Points(text=f"{len(lines)} lines.", main_topics=["knee"])


async def test_S0_13_without_a_model_it_says_that_sentences_were_chosen() -> None:
    summary = await Summarizer(None, lambda: NOW).summary(CONVERSATION, SESSION, SAID)
    assert (summary.by, summary.model, summary.reason) == ("extract", None, NO_MODEL)
    assert summary.action_items == ["I will stretch my knee."]
    assert (summary.total_interactions, summary.ai_responses) == (2, 1)
    assert summary.client_satisfaction is None
    assert summary.created_at == "2025-10-09T08:55:00.000000+00:00"


async def test_with_a_model_it_says_which_one_wrote_it() -> None:
    summary = await Summarizer(Model(), lambda: NOW).summary(CONVERSATION, None, SAID)
    assert (summary.by, summary.model, summary.reason) == ("model", "small-model", None)
    assert (summary.text, summary.session_id) == ("2 lines.", None)
    assert summary.total_interactions == 2


async def test_a_model_that_fails_is_replaced_and_that_is_said() -> None:
    model = Model()
    model.broken = True
    summary = await Summarizer(model, lambda: NOW).summary(CONVERSATION, None, SAID)
    assert (summary.by, summary.reason) == ("extract", FAILED)
    assert summary.action_items == ["I will stretch my knee."]


async def test_for_silence_nobody_is_paid() -> None:
    model = Model()
    unheard = [CALL.assistant("Hm.", heard_text="", state="unheard")]
    summary = await Summarizer(model, lambda: NOW).summary(CONVERSATION, None, unheard)
    assert (summary.by, summary.text, model.asked) == ("extract", "", 0)


async def test_so_many_at_once_and_no_more() -> None:
    model = Model()
    model.may.clear()
    summariser = Summarizer(model, lambda: NOW)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(summariser.summary(CONVERSATION, None, SAID))
        while model.asked < AT_ONCE:
            await asyncio.sleep(0)
        with pytest.raises(TooMany):
            await summariser.summary(CONVERSATION, None, SAID)
        model.may.set()
    assert (await summariser.summary(CONVERSATION, None, SAID)).by == "model"
