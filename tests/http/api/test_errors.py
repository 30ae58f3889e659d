import json

import pytest

from relay.http.api.errors import (
    ALL,
    NOT_FOUND,
    UNAUTHORIZED,
    ApiErrorSpec,
    error_response,
    spec_of_status,
    too_many_requests,
)


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.code)
def test_every_error_has_the_same_body(spec: ApiErrorSpec) -> None:
    response = error_response(spec)
    assert isinstance(response.body, bytes)
    assert json.loads(response.body) == {"error": {"code": spec.code, "message": spec.message}}
    assert response.status in (400, 401, 403, 404, 405, 409, 429, 500, 503)
    assert response.headers.get("Retry-After") == (spec.retry_after and str(spec.retry_after))
    assert len(spec.ending.reason.encode()) <= 123


def test_codes_are_unique() -> None:
    assert len({error.code for error in ALL}) == len(ALL)


def test_a_refusal_by_aiohttp_has_the_apis_own_error() -> None:
    assert spec_of_status(404) is NOT_FOUND
    assert [spec_of_status(status).status for status in (405, 413, 500)] == [405, 400, 500]


def test_errors_have_their_headers() -> None:
    assert error_response(too_many_requests(3).spec).headers["Retry-After"] == "3"
    assert error_response(UNAUTHORIZED).headers["WWW-Authenticate"] == "Bearer"
