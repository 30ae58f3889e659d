"""Reads the bodies of requests within bounds: JSON as a type, forms with one file."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from aiohttp import BodyPartReader, web

from relay.simulator.http.refusals import (
    BUSY,
    HttpFailure,
    HttpRefused,
    invalid,
    missing_parameter,
)

MAX_REQUESTS = 1000
"""Requests carried out at once; one more gets 429."""

MAX_HELD_BYTES = 512 << 20
"""Bytes of bodies and of decoded sound that all requests may hold at once; one more gets 429."""

MAX_UPLOAD_BYTES = 25 << 20
"""The largest file, as OpenAI has it."""

MAX_JSON_BYTES = 8 << 20
"""The largest JSON body."""

MAX_FIELD_BYTES = 64 << 10
"""The largest field of a form that is no file."""

MAX_FIELDS = 64
"""Parts of one form."""

_CHUNK = 64 << 10
_AT = re.compile(r"^(?P<error>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(\w+)`")

Body = TypeVar("Body")


class Load:
    """How much is being done: requests and the bytes of their bodies."""

    def __init__(self, max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_HELD_BYTES) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self.requests = 0
        self.held_bytes = 0

    @contextmanager
    def admit(self) -> Iterator["Holding"]:
        """Count a request while it is carried out; raises `HttpRefused` beyond the bound."""
        if self.requests >= self._max_requests:
            raise HttpRefused(BUSY)
        self.requests += 1
        holding = Holding(self)
        try:
            yield holding
        finally:
            self.requests -= 1
            self.held_bytes -= holding.bytes

    def hold(self, count: int) -> None:
        """Count more bytes; raises `HttpRefused` beyond the bound."""
        if self.held_bytes + count > self._max_bytes:
            raise HttpRefused(BUSY)
        self.held_bytes += count


class Holding:
    """The bytes that one request holds."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.bytes = 0

    def add(self, count: int) -> None:
        """Count more bytes; raises `HttpRefused` where all requests together hold too many."""
        self._load.hold(count)
        self.bytes += count


@dataclass(slots=True)
class Form:
    """The fields of a form, and its `file`; None where there is none."""

    fields: dict[str, str] = field(default_factory=dict)
    file: bytes | None = None


async def read_json(request: web.Request, holding: Holding) -> Any:
    """Return the JSON of a body; raises `HttpRefused`."""
    body = bytearray()
    async for chunk in request.content.iter_chunked(_CHUNK):
        holding.add(len(chunk))
        body += chunk
        _check_size(len(body), MAX_JSON_BYTES)
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise invalid("The body of the request is not valid JSON.") from None


def convert(value: Any, shape: type[Body]) -> Body:
    """Return a JSON value as a type; raises `HttpRefused` that names the parameter."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise _wrong_parameter(str(error)) from None


async def read_form(request: web.Request, holding: Holding) -> Form:
    """Return the fields of a multipart body; raises `HttpRefused`."""
    if request.content_type != "multipart/form-data":
        raise invalid("The body has to be multipart/form-data.")
    form = Form()
    try:
        reader = await request.multipart()
        for _ in range(MAX_FIELDS):
            part = await reader.next()
            if part is None:
                return form
            if not isinstance(part, BodyPartReader):
                raise invalid("A form within a form cannot be read.")
            await _read_part(form, part, holding)
    except (ValueError, AssertionError):
        raise invalid("The multipart body cannot be parsed.") from None
    raise invalid(f"More than {MAX_FIELDS} fields.")


async def _read_part(form: Form, part: BodyPartReader, holding: Holding) -> None:
    is_file = part.name == "file"
    data = bytearray()
    while chunk := await part.read_chunk(_CHUNK):
        holding.add(len(chunk))
        data += chunk
        _check_size(len(data), MAX_UPLOAD_BYTES if is_file else MAX_FIELD_BYTES)
    if is_file:
        form.file = bytes(data)
    else:
        form.fields[part.name or ""] = data.decode()  # UnicodeDecodeError is a ValueError


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        message = f"Maximum content size limit ({limit} bytes) exceeded."
        raise HttpRefused(HttpFailure(413, message))


def _wrong_parameter(message: str) -> HttpRefused:
    """Return the refusal of a validation error of msgspec, whose text names no value."""
    found = _AT.match(message)
    error, path = (found["error"], found["path"] or "") if found else (message, "")
    missing = _MISSING.search(error)
    if missing is not None:
        return missing_parameter(f"{path}.{missing[1]}".lstrip("."))
    return invalid(f"Invalid value for '{path}': {error}.", path or None, "invalid_value")
