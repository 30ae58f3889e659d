"""`/v1/models`: the models that the simulator answers to."""

from collections.abc import Iterable
from typing import Any

from relay.simulator.http.answers import Answer, as_whole
from relay.simulator.http.refusals import no_such_model

SHOWN = ("gpt-realtime", "gpt-4o-mini-transcribe", "gpt-4o-mini", "gpt-4o-mini-tts")
"""What is listed where any name will do, beside `text-embedding-3-small`."""

EMBEDDINGS = "text-embedding-3-small"

CREATED = 1_700_000_000
"""Unix time in seconds that every model says it was made at."""


def list_models(models: frozenset[str] | None) -> Answer:
    """Return all models; where any name will do, some that a client may look for."""
    names: Iterable[str] = (*SHOWN, EMBEDDINGS) if models is None else sorted(models)
    return as_whole({"object": "list", "data": [_model(name) for name in names]})


def describe_model(name: str, models: frozenset[str] | None) -> Answer:
    """Return one model; raises `HttpRefused` where there is none of this name."""
    check_model(name, models)
    return as_whole(_model(name))


def check_model(name: str, models: frozenset[str] | None) -> None:
    """Refuse a model that is not among those that are limited to."""
    if models is not None and name not in models:
        raise no_such_model(name)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "relay"}
