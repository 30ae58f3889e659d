"""What an answer means that is no success."""

import pytest

from relay.stores.supabase import errors as troubles
from relay.stores.supabase.errors import trouble


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "PGRST301", troubles.DatabaseKeyRefused),
        (401, "", troubles.DatabaseKeyRefused),
        (403, "42501", troubles.DatabaseKeyRefused),
        (404, "PGRST202", troubles.DatabaseNotMigrated),
        (404, "PGRST205", troubles.DatabaseNotMigrated),
        (404, "42P01", troubles.DatabaseNotMigrated),
        (400, "42703", troubles.DatabaseNotMigrated),
        (404, "42883", troubles.DatabaseNotMigrated),
        (400, "22P02", troubles.DatabaseRejected),
        (409, "23503", troubles.DatabaseRejected),
        (500, "54000", troubles.DatabaseRejected),
        (400, "PGRST102", troubles.DatabaseRejected),
        (413, "", troubles.DatabaseRejected),
        (429, "", troubles.DatabaseFailing),
        (500, "57014", troubles.DatabaseFailing),
        (500, "40001", troubles.DatabaseFailing),
        (503, "PGRST001", troubles.DatabaseFailing),
        (502, "", troubles.DatabaseFailing),
        (504, "PGRST003", troubles.DatabaseFailing),
        (400, "", troubles.DatabaseUnreadable),  # not the data's fault as far as one can tell
        (302, "", troubles.DatabaseUnreadable),
    ],
)
def test_each_has_its_name(status: int, code: str, kind: type[troubles.DatabaseError]) -> None:
    assert type(trouble(status, code)) is kind


def test_S3_61_no_trouble_has_a_text_that_could_quote_a_row() -> None:
    assert str(trouble(400, "22P02")) == ""
    assert trouble(401, "PGRST303").code == troubles.CLOCK_SKEW
