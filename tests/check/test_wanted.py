"""What the relay needs of a database is what its migrations make."""

from relay.check.supabase import CALL_FUNCTIONS, CALL_TABLES, CHAT_TABLES, standing
from tests.check.projects import asked
from tests.components import needs
from tests.supabase.project import Project

pytestmark = needs("postgresql", "postgrest")


async def test_every_table_of_calls_is_wanted_whole(fresh_project: Project) -> None:
    there = standing(await asked(fresh_project))
    made = {name: there.tables[name] for name in CALL_TABLES}

    assert made == CALL_TABLES
    for name, columns in CHAT_TABLES.items():
        assert columns <= there.tables[name]


async def test_every_function_is_wanted_with_its_arguments(fresh_project: Project) -> None:
    there = standing(await asked(fresh_project))

    for name, arguments in CALL_FUNCTIONS.items():
        assert arguments <= there.functions[name]
