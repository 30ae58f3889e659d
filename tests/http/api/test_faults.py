import json

import pytest

from relay.http.api.errors import ALL, NOT_FOUND, UNAUTHORIZED, answer, of_status, wait
from relay.http.api.errors import ApiErrorSpec as Told


@pytest.mark.parametrize("refusal", ALL, ids=lambda refusal: refusal.code)
def test_every_refusal_has_the_one_body(refusal: Told) -> None:
    told = answer(refusal)
    assert isinstance(told.body, bytes)
    assert json.loads(told.body) == {"error": {"code": refusal.code, "message": refusal.message}}
    assert told.status in (400, 401, 403, 404, 405, 409, 429, 500, 503)
    assert told.headers.get("Retry-After") == (refusal.retry_after and str(refusal.retry_after))
    assert len(refusal.ending.reason.encode()) <= 123


def test_codes_are_told_apart() -> None:
    assert len({refusal.code for refusal in ALL}) == len(ALL)


def test_what_the_framework_refuses_is_told_in_our_words() -> None:
    assert of_status(404) is NOT_FOUND
    assert [of_status(status).status for status in (405, 413, 500)] == [405, 400, 500]


def test_who_comes_too_often_is_told_when_to_come_again() -> None:
    assert answer(wait(3).refusal).headers["Retry-After"] == "3"
    assert answer(UNAUTHORIZED).headers["WWW-Authenticate"] == "Bearer"
