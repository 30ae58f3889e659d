"""Errors of unsuccessful answers, by status and code."""

import pytest

from relay.stores.supabase import errors
from relay.stores.supabase.errors import error_for


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "PGRST301", errors.DatabaseKeyRefused),
        (401, "", errors.DatabaseKeyRefused),
        (403, "42501", errors.DatabaseKeyRefused),
        (404, "PGRST202", errors.DatabaseNotMigrated),
        (404, "PGRST205", errors.DatabaseNotMigrated),
        (404, "42P01", errors.DatabaseNotMigrated),
        (400, "42703", errors.DatabaseNotMigrated),
        (404, "42883", errors.DatabaseNotMigrated),
        (400, "22P02", errors.DatabaseRejected),
        (409, "23503", errors.DatabaseRejected),
        (500, "54000", errors.DatabaseRejected),
        (400, "PGRST102", errors.DatabaseRejected),
        (413, "", errors.DatabaseRejected),
        (429, "", errors.DatabaseFailing),
        (500, "57014", errors.DatabaseFailing),
        (500, "40001", errors.DatabaseFailing),
        (503, "PGRST001", errors.DatabaseFailing),
        (502, "", errors.DatabaseFailing),
        (504, "PGRST003", errors.DatabaseFailing),
        (400, "", errors.DatabaseUnreadable),  # not the data's fault as far as one can tell
        (302, "", errors.DatabaseUnreadable),
    ],
)
def test_each_answer_has_its_class_of_error(
    status: int, code: str, kind: type[errors.DatabaseError]
) -> None:
    assert type(error_for(status, code)) is kind


def test_S3_61_no_error_has_a_text_that_could_quote_a_row() -> None:
    assert str(error_for(400, "22P02")) == ""
    assert error_for(401, "PGRST303").code == errors.CLOCK_SKEW


def test_the_status_is_kept_and_a_text_in_the_place_of_a_code_is_not() -> None:
    assert error_for(503, "").status == 503
    assert error_for(400, "Ada said hello").code == ""
