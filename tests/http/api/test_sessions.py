import msgspec
import pytest

from relay.feed.feed import UtteranceLog
from relay.feed.messages import ConversationTranscript, SessionInfo, SessionList, SessionTranscript
from tests.feed.calls import HEAD, FakeCall, again, said
from tests.http.api.running_api import FEED, SESSION, header, running_api
from tests.stores.words import CONVERSATION, LEARNER, STRANGER, Call

TRANSCRIPT = f"/api/sessions/{SESSION}/transcript"
CONVERSATIONS = f"/api/conversations/{CONVERSATION}/transcript"
OTHER = Call(session_id="77777777-7777-4777-8777-777777777777", user_id=STRANGER).user("x").head


@pytest.mark.parametrize(
    ("who", "seen"),
    [
        (header(), [OTHER.session_id, SESSION]),
        (header(LEARNER, "learner"), [SESSION]),
        (header("kim", "coach"), [SESSION]),
        (header("lee", "coach"), [OTHER.session_id]),
        (header("new", "coach"), []),
    ],
    ids=["admin", "learner", "coach", "another coach", "a coach without learners"],
)
async def test_callers_list_the_live_sessions_they_may_see(
    who: dict[str, str], seen: list[str]
) -> None:
    async with running_api() as api:
        with api.feeds.hub.track(FakeCall()), api.feeds.hub.track(FakeCall(head=OTHER)):
            listed = msgspec.json.decode(
                (await api.ask("/api/sessions", headers=who)).text, type=SessionList
            )
            assert [session.id for session in listed.sessions] == seen
            assert listed.total == len(seen)


async def test_the_fields_of_a_session() -> None:
    async with running_api() as api:
        with api.feeds.hub.track(FakeCall(seq=3, cost=12_345, begun=(2, 640))):
            api.feeds.commit(said(1))
            answer = await api.ask(f"/api/sessions/{SESSION}")
            assert answer.json == {
                "id": SESSION,
                "conversation_id": CONVERSATION,
                "user_id": LEARNER,
                "agent_id": HEAD.agent_id,
                "model": "gpt-realtime",
                "voice": "marin",
                "door": "openai",
                "engine": "offline",
                "started_at": "2025-10-09T08:53:20.250000+00:00",
                "ended_at": None,
                "state": "live",
                "ending": None,
                "paused": False,
                "speaker": None,
                "seq": 1,
                "tokens": {"text_out": 3},
                "cost_dollars": 0.012345,
                "answers": 2,
                "answer_ms": 640,
            }


async def test_without_a_price_the_cost_is_null_and_an_ended_session_says_why() -> None:
    async with running_api() as api:
        with api.feeds.hub.track(FakeCall(cost=None, why="idle")):
            pass
        session = msgspec.json.decode(
            (await api.ask(f"/api/sessions/{SESSION}")).text, type=SessionInfo
        )
        assert (session.cost_dollars, session.state, session.ending) == (None, "ended", "idle")
        assert session.ended_at is not None
        assert (await api.ask("/api/sessions")).json == {"sessions": [], "total": 0}


@pytest.mark.parametrize("path", [f"/api/sessions/{SESSION}", TRANSCRIPT, CONVERSATIONS, FEED])
@pytest.mark.parametrize("who", [header(STRANGER, "learner"), header("lee", "coach")])
async def test_another_learners_session_is_not_found_like_one_that_does_not_exist(
    path: str, who: dict[str, str]
) -> None:
    async with running_api() as api:
        with api.feeds.hub.track(FakeCall()):
            api.feeds.commit(said(1))
            events = {"Accept": "text/event-stream"}
            there = await api.ask(path, headers=who | events)
        nowhere = path.replace(SESSION, "9" * 8 + SESSION[8:]).replace(CONVERSATION, SESSION)
        absent = await api.ask(nowhere, headers=who | events)
        assert there.error == absent.error == (404, "not_found")
        assert there.text == absent.text


@pytest.mark.parametrize("name", ["x", "%2e%2e", "5" * 300, SESSION.upper().replace("5", "A")])
async def test_an_invalid_id_is_not_found(name: str) -> None:
    async with running_api() as api:
        assert (await api.ask(f"/api/sessions/{name}")).error == (404, "not_found")
        path = f"/api/conversations/{name}/transcript"
        assert (await api.ask(path)).error == (404, "not_found")
    assert api.feeds.disk.reads == 0


async def test_a_transcript_is_in_conversation_order_and_gives_a_cursor() -> None:
    async with running_api() as api:
        with api.feeds.hub.track(FakeCall()):
            api.feeds.commit(said(2), again(said(1), 3))
            transcript = msgspec.json.decode(
                (await api.ask(TRANSCRIPT)).text, type=SessionTranscript
            )
            assert [u.text for u in transcript.utterances] == ["words 1, no: 3", "words 2"]
            assert [u.speaker for u in transcript.utterances] == ["learner", "learner"]
            assert transcript.seq == 3
            later = (await api.ask(f"{TRANSCRIPT}?since=2")).json
            assert [u["seq"] for u in later["utterances"]] == [3]
            assert (await api.ask(f"{TRANSCRIPT}?since=3")).json["utterances"] == []


@pytest.mark.parametrize("since", ["-1", "x", "", "1.0", "9" * 10, "\u0661"])
async def test_an_invalid_cursor_is_refused(since: str) -> None:
    async with running_api() as api:
        with api.feeds.hub.track(FakeCall()):
            answer = await api.ask(f"{TRANSCRIPT}?since={since}")
            assert answer.error == (400, "bad_since")


@pytest.mark.parametrize(("limit", "status"), [("1", 200), ("1000", 200), ("0", 400), ("all", 400)])
async def test_the_limit_of_a_list(limit: str, status: int) -> None:
    async with running_api() as api:
        with api.feeds.hub.track(FakeCall()), api.feeds.hub.track(FakeCall(head=OTHER)):
            answer = await api.ask(f"/api/sessions?limit={limit}")
            assert answer.status == status
            if limit == "1":
                assert [one["id"] for one in answer.json["sessions"]] == [OTHER.session_id]
                assert answer.json["total"] == 2


async def test_a_conversation_is_read_from_disk_and_memory() -> None:
    async with running_api() as api:
        with api.feeds.hub.track(FakeCall()):
            api.feeds.commit(said(1, "First."))
            api.feeds.disk.put()
            api.feeds.disk.mark()
            api.feeds.commit(said(2, "Second."))
            answer = await api.ask(CONVERSATIONS, headers=header("kim", "coach"))
            transcript = msgspec.json.decode(answer.text, type=ConversationTranscript)
            assert [u.text for u in transcript.utterances] == ["First.", "Second."]
            assert (transcript.conversation_id, transcript.user_id) == (CONVERSATION, LEARNER)


async def test_utterances_that_are_not_on_disk_yet_are_not_shown() -> None:
    async with running_api() as api:
        with api.feeds.hub.track(FakeCall()):
            api.feeds.commit(said(1))
            api.feeds.disk.commit(said(2))  # in the journal, whose commit was not announced yet
            for path in (TRANSCRIPT, CONVERSATIONS):
                transcript = (await api.ask(path)).json["utterances"]
                assert [u["seq"] for u in transcript] == [1]


async def test_a_failed_read_is_a_503() -> None:
    async with running_api() as api:
        with api.feeds.hub.track(FakeCall()):
            api.feeds.feed.log = UtteranceLog(records=1)
            api.feeds.commit(said(1), said(2))
            api.feeds.disk.broken = True
            assert (await api.ask(TRANSCRIPT)).error == (503, "unavailable")
            assert (await api.ask(CONVERSATIONS)).error == (503, "unavailable")
            assert (await api.ask(f"{TRANSCRIPT}?since=1")).status == 200, "memory is enough"


async def test_without_a_coachs_learners_nothing_is_shown() -> None:
    async with running_api() as api:
        api.assignments.broken = True
        answer = await api.ask("/api/sessions", headers=header("kim", "coach"))
        assert answer.error == (503, "unavailable")
        assert answer.headers["Retry-After"] == "5"
