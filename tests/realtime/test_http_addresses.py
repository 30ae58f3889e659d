"""What the voice listener says to a POST: in OpenAI's shape, and by name."""

import pytest

from relay.realtime.http_addresses import MAX_SHOWN, error_body, refusal_at_voice


@pytest.mark.parametrize(
    ("path", "code", "says"),
    [
        ("/v1/realtime/client_secrets", "unknown_url", "HTTP_PORT"),
        ("/openai/v1/realtime/client_secrets", "unknown_url", "HTTP_PORT"),
        ("/v1/realtime/calls", "unsupported_endpoint", "WebRTC"),
        ("/v1/realtime/calls/rtc_1/accept", "unsupported_endpoint", "WebRTC"),
        ("/v1/realtime/sessions", "unsupported_endpoint", "client_secrets"),
        ("/v1/chat/completions", "unknown_url", "WebSocket"),
        ("/realtime/client_secrets", "unknown_url", "HTTP_PORT"),
    ],
)
def test_a_post_is_named(path: str, code: str, says: str) -> None:
    refused = refusal_at_voice(path)
    assert refused is not None
    error = refused["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    assert says in error["message"]
    assert f"POST {path}" in error["message"]


@pytest.mark.parametrize("path", ["/", "/turns", "/v1/realtime", "/openai/realtime/"])
def test_where_there_is_no_http_address_a_post_is_a_bad_handshake(path: str) -> None:
    assert refusal_at_voice(path) is None


def test_an_address_is_not_quoted_for_ever() -> None:
    refused = refusal_at_voice("/v1/" + "a" * 5000)
    assert refused is not None
    assert len(refused["error"]["message"]) < MAX_SHOWN + 100


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, "invalid_request_error"), (429, "rate_limit_error"), (503, "server_error")],
)
def test_the_type_follows_the_status(status: int, kind: str) -> None:
    assert error_body(status, "c", "m")["error"]["type"] == kind
