"""Error answers of the HTTP API, in OpenAI's shape."""

from dataclasses import dataclass

import msgspec

from relay.parts.interfaces import PartFailed

INVALID_REQUEST = "invalid_request_error"
SERVER_ERROR = "server_error"


@dataclass(frozen=True, slots=True)
class HttpFailure:
    """An error with its HTTP status; `retry_after` is in seconds."""

    status: int
    message: str
    kind: str = INVALID_REQUEST
    code: str | None = None
    param: str | None = None
    retry_after: int | None = None

    def body(self) -> bytes:
        """Return the JSON that tells it."""
        error = {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }
        return msgspec.json.encode({"error": error})


class HttpRefused(Exception):  # noqa: N818 - an answer like any other
    """A request is answered with an error."""

    def __init__(self, answer: HttpFailure) -> None:
        super().__init__(f"{answer.status} {answer.code or answer.kind}")
        self.answer = answer


NO_KEY = HttpFailure(401, "No API key: send it as `Authorization: Bearer KEY`.")
BAD_KEY = HttpFailure(401, "Incorrect API key provided.", code="invalid_api_key")
BUSY = HttpFailure(
    429,
    "Too many requests at once; try again in a moment.",
    kind="requests",
    code="rate_limit_exceeded",
    retry_after=1,
)
BROKEN = HttpFailure(500, "The server had an error while processing the request.", SERVER_ERROR)


def invalid(message: str, param: str | None = None, code: str | None = None) -> HttpRefused:
    """Return the refusal of a request that cannot be carried out as it is."""
    return HttpRefused(HttpFailure(400, message, code=code, param=param))


def missing_parameter(param: str) -> HttpRefused:
    """Return the refusal of a request without something that it needs."""
    return invalid(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def no_such_model(model: str) -> HttpRefused:
    """Return the refusal of a model that the simulator does not have."""
    message = f"The model `{model[:100]}` does not exist or you do not have access to it."
    return HttpRefused(HttpFailure(404, message, code="model_not_found"))


def part_failure(failed: PartFailed) -> HttpFailure:
    """Return what a client is told when a part could not do the work."""
    message = f"The {failed.part} failed: {failed.code}."
    match failed.code:
        case "busy" | "rate_limited":
            return HttpFailure(429, message, "requests", "rate_limit_exceeded", retry_after=1)
        case "rejected":
            return HttpFailure(400, message)
        case "unavailable" | "timeout":
            return HttpFailure(503, message, SERVER_ERROR)
        case "unauthorized" | "failed":
            return HttpFailure(500, message, SERVER_ERROR)
