"""A project with a learner, a stranger, two coaches, and a call for which their rights differ."""

from relay.realtime.billing.usage import Usage, UsageLine
from relay.realtime.records import AnyRecord, SessionRecord, UsageRecord, usage_id
from tests.stores.words import AGENT, CONVERSATION, LEARNER, MORNING, SESSION, STRANGER, Call
from tests.supabase.api import Api
from tests.supabase.project import Project

COACH = "77777777-7777-4777-8777-777777777777"
OTHER_COACH = "88888888-8888-4888-8888-888888888888"
OWNER = "99999999-9999-4999-8999-999999999999"
WHISPER = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
DAY = 20_370  # 2025-10-09, the day of MORNING
CALL = Call()
HER_CALL = Call(
    session_id="bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb",
    conversation_id="cccccccc-cccc-4ccc-8ccc-cccccccccccc",
    user_id=STRANGER,
)


def around(call: Call) -> list[AnyRecord]:
    """What a call leaves beside its words."""
    head = call.user("x").head
    line = UsageLine(model="gpt-realtime", day=DAY, seq=1, usage=Usage(text_in=10))
    return [
        UsageRecord(id=usage_id(head.session_id, line), head=head, line=line, micro=100),
        SessionRecord(
            id=head.session_id,
            head=head,
            seq=2,
            door="browser",
            engine="offline",
            ended_at=MORNING + 60,
            ending="finished",
        ),
    ]


async def settle(project: Project) -> None:
    """Two learners who have had a call each; the first has a coach, who whispered."""
    for person in (LEARNER, STRANGER, COACH, OTHER_COACH, OWNER):
        await project.add_user(person)
    await project.add_agent(AGENT, user_id=OWNER)
    service = Api(project)
    said = [CALL.user("When?"), CALL.assistant("At nine.")]
    hers = [HER_CALL.user("Where?"), HER_CALL.assistant("There.")]
    assert await service.put(*said, *hers, *around(CALL), *around(HER_CALL)) == {}
    await assign(project, COACH, LEARNER)
    await assign(project, OTHER_COACH, STRANGER)
    await project.sql(
        "insert into coach_actions (id, session_id, conversation_id, coach_id, action, details, at)"
        " values (%s, %s, %s, %s, 'whisper', %s, to_timestamp(%s))",
        *(WHISPER, SESSION, CONVERSATION, COACH, {"text": "Slow down."}, MORNING),
    )
    await project.sql(
        "insert into voice_agents (agent_id, settings) values (%s, %s)", AGENT, {"voice": "marin"}
    )


async def assign(project: Project, coach: str, learner: str) -> None:
    await project.sql(
        "insert into coach_assignments (coach_id, learner_id) values (%s, %s)", coach, learner
    )


def callers(project: Project) -> dict[str, Api]:
    """Everybody who may ask, by name."""
    people = {
        "learner": LEARNER,
        "stranger": STRANGER,
        "coach": COACH,
        "other coach": OTHER_COACH,
    }
    found = {name: Api(project, project.mint(sub)) for name, sub in people.items()}
    return found | {"anon": Api(project, anon=True), "service": Api(project)}
