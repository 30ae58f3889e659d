"""Models by the `openai` client."""

import pytest
from openai import NotFoundError

from tests.simulator.http.twin import a_twin


async def test_where_any_name_will_do_some_are_listed():
    async with a_twin() as twin:
        names = [model.id async for model in twin.client.models.list()]
        mine = await twin.client.models.retrieve("my/model:latest")

    assert "gpt-realtime" in names
    assert "text-embedding-3-small" in names
    assert mine.id == "my/model:latest"


async def test_models_that_are_limited_to():
    async with a_twin(models=frozenset({"b", "a"})) as twin:
        names = [model.id async for model in twin.client.models.list()]
        with pytest.raises(NotFoundError) as unknown:
            await twin.client.models.retrieve("c")

    assert names == ["a", "b"]
    assert unknown.value.code == "model_not_found"
