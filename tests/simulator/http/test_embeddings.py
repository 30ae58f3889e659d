"""Embeddings by the `openai` client."""

import math
from typing import Any

import pytest
from openai import BadRequestError

from relay.simulator.http.embeddings import MAX_CHARACTERS, embed
from tests.simulator.http.twin import a_twin

SMALL = "text-embedding-3-small"


def nearness(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_similar_texts_are_near():
    texts = [
        "How do I reset my password?",
        "I forgot my password, how can I reset it?",
        "Our office in Berlin is closed on Sundays.",
    ]
    async with a_twin() as twin:
        made = await twin.client.embeddings.create(model=SMALL, input=texts)

    question, like, other = (entry.embedding for entry in made.data)
    assert len(question) == 1536
    assert math.isclose(nearness(question, question), 1, rel_tol=1e-5)
    assert nearness(question, like) > 0.5 > 0.2 > nearness(question, other)
    assert made.usage.total_tokens > 10


@pytest.mark.parametrize("encoding", ["base64", "float"])
async def test_both_encodings_are_the_same_vector(encoding: Any):
    async with a_twin() as twin:
        made = await twin.client.embeddings.with_raw_response.create(
            model=SMALL, input="Hello.", dimensions=256, encoding_format=encoding
        )

    sent = made.http_response.json()["data"][0]["embedding"]
    assert isinstance(sent, str) == (encoding == "base64")
    if encoding == "float":
        assert sent == pytest.approx(embed("Hello.", 256))


async def test_the_client_reads_what_it_asks_for_by_default():
    async with a_twin() as twin:
        made = await twin.client.embeddings.create(model=SMALL, input="Hello.", dimensions=64)
        large = await twin.client.embeddings.create(model="text-embedding-3-large", input="Hello.")
        of_tokens = await twin.client.embeddings.create(model=SMALL, input=[[1, 2], [3]])

    assert made.data[0].embedding == pytest.approx(embed("Hello.", 64), abs=1e-6)
    assert len(large.data[0].embedding) == 3072
    assert len(of_tokens.data) == 2


@pytest.mark.parametrize("text", ["", "?!", "日本語", "\ud800"])
def test_every_text_has_a_vector_of_length_one(text: str):
    vector = embed(text, 3)

    assert math.isclose(nearness(vector, vector), 1)


@pytest.mark.parametrize(
    "given", ["", [], ["a", ""], [1, "a"], ["x"] * 2049, "x" * (MAX_CHARACTERS + 1)]
)
async def test_inputs_that_are_refused(given: Any):
    async with a_twin() as twin:
        with pytest.raises(BadRequestError) as refused:
            await twin.client.embeddings.create(model=SMALL, input=given)

    assert refused.value.param == "input"
