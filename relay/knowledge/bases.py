"""The documents of knowledge bases in one SQLite file, and the search in them."""

import asyncio
import json
import math
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import structlog

from relay.knowledge.chunks import Chunk, cut, terms
from relay.knowledge.embeddings import Embedder, EmbeddingsFailed, similarities

T = TypeVar("T")

MAX_DOCUMENT: Final = 10 * 1024 * 1024
"""Bytes of one document."""
MAX_DOCUMENTS: Final = 100
MAX_CHUNKS: Final = 5_000
"""Of one knowledge base."""
MAX_BASES: Final = 100
MAX_NAME: Final = 200
"""Characters of the name of a base or a document."""
CANDIDATES: Final = 40
"""Chunks that are looked at for one question."""
LEAST_COVERED: Final = 0.4
"""Share of a question's weight that a chunk must cover: below it, it is about something else."""
LEAST_SIMILAR: Final = 0.5
"""Cosine from which on a vector alone makes a chunk a source."""
FUSION: Final = 60.0
"""Of reciprocal rank fusion: what makes the first ranks not count for everything."""
HEADING_WEIGHT, TEXT_WEIGHT = 2.0, 1.0

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS documents (
  base TEXT NOT NULL, id TEXT NOT NULL, metadata TEXT NOT NULL, chunks INTEGER NOT NULL,
  PRIMARY KEY (base, id));
CREATE TABLE IF NOT EXISTS chunks (
  number INTEGER PRIMARY KEY, base TEXT NOT NULL, document TEXT NOT NULL,
  position INTEGER NOT NULL, heading TEXT NOT NULL, text TEXT NOT NULL, vector BLOB);
CREATE INDEX IF NOT EXISTS chunks_of ON chunks (base, document);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (
  heading, text, content='chunks', content_rowid='number',
  tokenize='porter unicode61 remove_diacritics 2');
CREATE TRIGGER IF NOT EXISTS added AFTER INSERT ON chunks BEGIN
  INSERT INTO words (rowid, heading, text) VALUES (new.number, new.heading, new.text); END;
CREATE TRIGGER IF NOT EXISTS removed AFTER DELETE ON chunks BEGIN
  INSERT INTO words (words, rowid, heading, text)
  VALUES ('delete', old.number, old.heading, old.text); END;
"""

log = structlog.get_logger(__name__)


class KnowledgeRefused(Exception):  # noqa: N818 - an outcome, told to who asked
    """Documents are not taken; the text says which bound they pass."""


class GivenDocument(Protocol):
    """A document to add."""

    @property
    def id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def metadata(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """A document of a base, and how many chunks it has."""

    id: str
    metadata: Mapping[str, Any]
    chunks: int


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that answers a question: the document's `id`, its text and metadata, and a score.

    The metadata are the document's, with `heading` and `position` of the chunk.
    """

    id: str
    text: str
    score: float
    metadata: Mapping[str, Any] = field(default_factory=dict)


class KnowledgeBases:
    """The bases of one file, which is made with the first document (S4-10, S4-11).

    All work on it is done by one thread. Without an `embedder` words alone are searched.
    """

    def __init__(self, path: Path, embedder: Embedder | None = None) -> None:
        self._path = path
        self._embedder = embedder
        self._thread = ThreadPoolExecutor(1, "knowledge")

    async def exists(self, base: str) -> bool:
        """Whether there is such a base: one that has a document."""
        return bool(await self.documents(base))

    async def documents(self, base: str) -> list[KnownDocument]:
        """Its documents, by id."""
        query = "SELECT id, metadata, chunks FROM documents WHERE base = ? ORDER BY id"
        rows = await self._read(lambda file: file.execute(query, (base,)).fetchall())
        return [KnownDocument(name, json.loads(about), chunks) for name, about, chunks in rows]

    async def add(self, base: str, documents: Sequence[GivenDocument]) -> list[KnownDocument]:
        """Add documents, all or none; one of the same id is replaced. Raises `KnowledgeRefused`."""
        _check(base, documents)
        cuts = await self._do(lambda: [cut(one.text) for one in documents])
        texts = [f"{one.heading}\n{one.text}".strip() for chunks in cuts for one in chunks]
        vectors = await self._vectors(texts)
        return await self._do(lambda: self._write(base, documents, cuts, vectors))

    async def delete(self, base: str, document: str) -> bool:
        """Delete a document; False where there was none."""

        def delete(file: sqlite3.Connection) -> bool:
            _remove(file, base, document)
            return bool(file.execute("SELECT changes()").fetchone()[0])

        return await self._do(lambda: self._with_file(delete)) if self._path.exists() else False

    async def search(self, base: str, query: str, limit: int = 5) -> list[Passage]:
        """What answers a question, the best first; nothing where nothing does."""
        wanted = terms(query)
        vector: bytes | None = None
        if self._embedder is not None and query.strip():
            vectors = await self._vectors([query])
            vector = vectors[0] if vectors else None
        if not wanted and vector is None:
            return []
        return await self._read(lambda file: _search(file, base, wanted, vector, limit))

    async def aclose(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False)

    async def _vectors(self, texts: Sequence[str]) -> list[bytes] | None:
        """The vectors of texts; None without an embedder, and where it fails, which is logged."""
        if self._embedder is None or not texts:
            return None
        try:
            return await self._embedder.embed(texts)
        except EmbeddingsFailed as failed:
            log.warning("no embeddings; words alone are searched", reason=str(failed))
            return None

    def _write(
        self,
        base: str,
        documents: Sequence[GivenDocument],
        cuts: Sequence[Sequence[Chunk]],
        vectors: Sequence[bytes] | None,
    ) -> list[KnownDocument]:
        at = iter(vectors or ())

        def write(file: sqlite3.Connection) -> list[KnownDocument]:
            for one, chunks in zip(documents, cuts, strict=True):
                _remove(file, base, one.id)
                row = (base, one.id, json.dumps(dict(one.metadata)), len(chunks))
                file.execute("INSERT INTO documents VALUES (?, ?, ?, ?)", row)
                file.executemany(
                    "INSERT INTO chunks (base, document, position, heading, text, vector)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    [(base, one.id, c.position, c.heading, c.text, next(at, None)) for c in chunks],
                )
            _check_bounds(file, base)
            return [
                KnownDocument(one.id, dict(one.metadata), len(chunks))
                for one, chunks in zip(documents, cuts, strict=True)
            ]

        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.touch(mode=0o600)
        return self._with_file(write)

    async def _read(self, read: Callable[[sqlite3.Connection], list[T]]) -> list[T]:
        """Read the file; nothing where there is none."""
        return await self._do(lambda: self._with_file(read) if self._path.exists() else [])

    def _with_file(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with closing(sqlite3.connect(self._path, timeout=10)) as file:
            file.executescript(f"PRAGMA journal_mode = WAL; {_SCHEMA}")
            with file:
                return work(file)

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _check(base: str, documents: Sequence[GivenDocument]) -> None:
    names = [base, *(one.id for one in documents)]
    if not all(0 < len(name) <= MAX_NAME and name.isprintable() for name in names):
        raise KnowledgeRefused(f"A name has 1 to {MAX_NAME} characters, all of them visible.")
    for one in documents:
        if len(one.text.encode(errors="replace")) > MAX_DOCUMENT:
            raise KnowledgeRefused(f"Document {one.id!r} has more than 10 MiB.")
        if not one.text.strip():
            raise KnowledgeRefused(f"Document {one.id!r} is empty.")


def _check_bounds(file: sqlite3.Connection, base: str) -> None:
    """Raise where a base has become too large: what was added is undone then."""
    query = "SELECT count(*), sum(chunks), (SELECT count(DISTINCT base) FROM documents)"
    documents, chunks, bases = file.execute(
        f"{query} FROM documents WHERE base = ?", (base,)
    ).fetchone()
    for name, count, most in (
        ("documents in a knowledge base", documents, MAX_DOCUMENTS),
        ("chunks in a knowledge base", chunks, MAX_CHUNKS),
        ("knowledge bases", bases, MAX_BASES),
    ):
        if count > most:
            raise KnowledgeRefused(f"There may be {most} {name}, and these would make {count}.")


def _remove(file: sqlite3.Connection, base: str, document: str) -> None:
    file.execute("DELETE FROM chunks WHERE base = ? AND document = ?", (base, document))
    file.execute("DELETE FROM documents WHERE base = ? AND id = ?", (base, document))


# ------------------------------------------------------------------------------------ search


def _search(
    file: sqlite3.Connection, base: str, wanted: Sequence[str], vector: bytes | None, limit: int
) -> list[Passage]:
    by_words = _by_words(file, base, wanted)
    by_vector = _by_vector(file, base, vector) if vector is not None else {}
    fused: dict[int, float] = {}
    for found in (by_words, by_vector):
        ranked = sorted(found, key=lambda number: -found[number])
        for rank, number in enumerate(ranked):
            fused[number] = fused.get(number, 0.0) + 1 / (FUSION + rank)
    best = sorted(fused, key=lambda number: (-fused[number], number))[:limit]
    scores = {number: max(by_words.get(number, 0.0), by_vector.get(number, 0.0)) for number in best}
    return [_passage(file, number, scores[number]) for number in best]


def _by_words(file: sqlite3.Connection, base: str, wanted: Sequence[str]) -> dict[int, float]:
    """Chunks that cover enough of what is asked, with their share of it, ranked by BM25.

    A term weighs by how few chunks have it, and one that none has weighs most: a question whose
    rarest words are nowhere is about something that the base does not know.
    """
    if not wanted:
        return {}
    total = file.execute("SELECT count(*) FROM chunks WHERE base = ?", (base,)).fetchone()[0]
    holding = {term: _holding(file, base, term) for term in wanted}
    weights = {term: math.log(2 + total / (len(found) + 0.5)) for term, found in holding.items()}
    everything = sum(weights.values())
    match = " OR ".join(f'"{term}"' for term in wanted)
    rows = file.execute(
        "SELECT number, bm25(words, ?, ?) FROM words CROSS JOIN chunks ON number = words.rowid"
        " WHERE words MATCH ? AND base = ? ORDER BY 2 LIMIT ?",
        (HEADING_WEIGHT, TEXT_WEIGHT, match, base, CANDIDATES),
    ).fetchall()
    found: dict[int, float] = {}
    for number, rank in rows:
        covered = sum(weights[term] for term in wanted if number in holding[term]) / everything
        if covered >= LEAST_COVERED:
            found[number] = covered + min(-rank, 99.0) / 1_000  # BM25 decides between equals
    return found


def _holding(file: sqlite3.Connection, base: str, term: str) -> frozenset[int]:
    """The chunks that have a term, in any of its forms."""
    query = "SELECT number FROM words CROSS JOIN chunks ON number = words.rowid WHERE words MATCH ?"
    rows = file.execute(f"{query} AND base = ?", (f'"{term}"', base))
    return frozenset(number for (number,) in rows)


def _by_vector(file: sqlite3.Connection, base: str, vector: bytes) -> dict[int, float]:
    query = "SELECT number, vector FROM chunks WHERE base = ? AND vector IS NOT NULL"
    rows = file.execute(query, (base,)).fetchall()
    found = zip(rows, similarities(vector, [row[1] for row in rows]), strict=True)
    near = {number: similar for (number, _), similar in found if similar >= LEAST_SIMILAR}
    best = sorted(near, key=lambda number: -near[number])[:CANDIDATES]
    return {number: near[number] for number in best}


def _passage(file: sqlite3.Connection, number: int, score: float) -> Passage:
    query = (
        "SELECT document, text, heading, position, metadata FROM chunks JOIN documents"
        " ON documents.base = chunks.base AND id = document WHERE number = ?"
    )
    document, text, heading, position, metadata = file.execute(query, (number,)).fetchone()
    about = {**json.loads(metadata), "heading": heading, "position": position}
    return Passage(document, text, round(score, 4), about)
