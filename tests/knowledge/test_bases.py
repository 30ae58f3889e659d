"""Documents go in whole, are found by questions, and nothing is found where nothing answers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from relay.knowledge import bases as bases_module
from relay.knowledge.bases import KnowledgeBases, KnowledgeRefused
from relay.knowledge.embeddings import EmbeddingsFailed, unit_vector
from tests.knowledge.corpus import UNANSWERABLE, HelpPage, pages, questions


@pytest.fixture
async def bases(tmp_path: Path) -> AsyncIterator[KnowledgeBases]:
    made = KnowledgeBases(tmp_path / "knowledge.db")
    yield made
    await made.aclose()


WALKS = HelpPage(
    "walks",
    "# Walks\n\nWe walk by the river every Tuesday at nine.\n\n## Dogs\n\nDogs stay on a lead.",
    {"by": "the club"},
)


async def test_S4_11_a_document_is_added_found_and_deleted(bases: KnowledgeBases) -> None:
    assert not await bases.exists("club")
    (added,) = await bases.add("club", [WALKS])
    assert (added.id, added.chunks) == ("walks", 2)
    assert await bases.exists("club")
    assert [one.id for one in await bases.documents("club")] == ["walks"]

    (found, *_) = await bases.search("club", "On which day do you walk along the river?")
    assert found.id == "walks"
    assert "Tuesday" in found.text
    assert found.metadata == {"by": "the club", "heading": "Walks", "position": 0}
    (found, *_) = await bases.search("club", "Is a lead needed for dogs?")
    assert found.metadata["heading"] == "Walks / Dogs"
    assert await bases.search("other", "dogs on a lead") == []

    assert await bases.delete("club", "walks")
    assert not await bases.delete("club", "walks")
    assert await bases.search("club", "dogs on a lead") == []


async def test_the_same_id_replaces_a_document(bases: KnowledgeBases) -> None:
    await bases.add("club", [WALKS])
    await bases.add("club", [HelpPage("walks", "We swim in the lake on Fridays.")])

    assert await bases.search("club", "walk by the river") == []
    assert (await bases.search("club", "When do you swim in the lake?"))[0].id == "walks"
    assert len(await bases.documents("club")) == 1


async def test_bases_outlive_the_relay_and_are_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "knowledge.db"
    for _ in range(2):
        bases = KnowledgeBases(path)
        await bases.add("club", [WALKS])
        assert await bases.search("club", "walk by the river")
        await bases.aclose()

    assert path.stat().st_mode & 0o777 == 0o600


async def test_what_passes_a_bound_is_refused_whole(
    bases: KnowledgeBases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bases_module, "MAX_DOCUMENTS", 3)
    monkeypatch.setattr(bases_module, "MAX_DOCUMENT", 1_000)
    await bases.add("club", [WALKS])
    for documents in (
        [HelpPage(str(number), "text") for number in range(3)],
        [HelpPage("large", "x" * 1_001)],
        [HelpPage("empty", " \n")],
        [HelpPage("", "text")],
        [HelpPage("x" * 201, "text")],
    ):
        with pytest.raises(KnowledgeRefused):
            await bases.add("club", documents)
    assert [one.id for one in await bases.documents("club")] == ["walks"]


@pytest.mark.parametrize("query", ["", "   ", "the and of", '"', "a OR b AND (", "NEAR(x y)", "'*"])
async def test_a_question_is_words_whatever_it_holds(bases: KnowledgeBases, query: str) -> None:
    await bases.add("club", [WALKS])

    assert await bases.search("club", query) == []


async def test_S4_10_a_thousand_chunks_and_a_hundred_questions(bases: KnowledgeBases) -> None:
    """Recall at five by words alone; the second eighty were not looked at when it was tuned."""
    added = await bases.add("help", pages())
    assert sum(one.chunks for one in added) >= 1_000
    recalls = []
    for first in (0, 80):
        hits = 0
        for question, document, aspect in questions(first):
            found = await bases.search("help", question)
            places = [(one.id, one.metadata["heading"].split(" / ")[-1]) for one in found]
            hits += (document, aspect) in places
        recalls.append(hits / 80)
    invented = [question for question in UNANSWERABLE if await bases.search("help", question)]

    assert min(recalls) >= 0.8, recalls
    assert invented == []


async def test_searches_at_once_are_not_mixed(bases: KnowledgeBases) -> None:
    await bases.add("help", pages()[:10])
    async with asyncio.TaskGroup() as group:
        asked = {
            product: group.create_task(bases.search("help", f"warranty months of the {product}"))
            for product in ("Aldora kettle", "Brenik router")
        }
    for product, task in asked.items():
        assert task.result()[0].metadata["product"] == product


class MeaningEmbedder:
    """Knows that a hound is a dog."""

    def __init__(self) -> None:
        self.is_broken = False

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        if self.is_broken:
            raise EmbeddingsFailed("status 500")
        about = [("dog", "hound"), ("river", "stream"), ("lake", "pond")]
        return [
            unit_vector([0.01, *(float(any(w in text.lower() for w in ws)) for ws in about)])
            for text in texts
        ]


async def test_vectors_find_what_words_do_not(tmp_path: Path) -> None:
    embedder = MeaningEmbedder()
    bases = KnowledgeBases(tmp_path / "knowledge.db", embedder)
    await bases.add("club", [WALKS])

    (found,) = await bases.search("club", "May my hound come?")
    assert found.metadata["heading"] == "Walks / Dogs"
    assert await bases.search("club", "Who plays the piano?") == []
    embedder.is_broken = True
    assert (await bases.search("club", "walk by the river"))[0].id == "walks"
    assert await bases.search("club", "May my hound come?") == []
    await bases.aclose()
