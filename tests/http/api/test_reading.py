import msgspec
import pytest

from relay.feed.feed import UtteranceLog
from relay.feed.messages import ConversationTranscript, SessionInfo, SessionList, SessionTranscript
from tests.feed.calls import HEAD, FakeCall, again, said
from tests.http.api.desk import FEED, SESSION, desk, header
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
    ids=["admin", "learner", "coach", "another coach", "a coach of nobody"],
)
async def test_everyone_lists_the_live_sessions_that_are_theirs_to_see(
    who: dict[str, str], seen: list[str]
) -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()), here.house.hub.live(FakeCall(head=OTHER)):
            listed = msgspec.json.decode(
                (await here.ask("/api/sessions", headers=who)).text, type=SessionList
            )
            assert [session.id for session in listed.sessions] == seen
            assert listed.total == len(seen)


async def test_a_session_says_who_what_and_how_much() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall(seq=3, cost=12_345, begun=(2, 640))):
            here.house.commit(said(1))
            answer = await here.ask(f"/api/sessions/{SESSION}")
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


async def test_what_has_no_price_costs_null_and_an_ended_session_says_why() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall(cost=None, why="idle")):
            pass
        session = msgspec.json.decode(
            (await here.ask(f"/api/sessions/{SESSION}")).text, type=SessionInfo
        )
        assert (session.cost_dollars, session.state, session.ending) == (None, "ended", "idle")
        assert session.ended_at is not None
        assert (await here.ask("/api/sessions")).json == {"sessions": [], "total": 0}


@pytest.mark.parametrize("path", [f"/api/sessions/{SESSION}", TRANSCRIPT, CONVERSATIONS, FEED])
@pytest.mark.parametrize("who", [header(STRANGER, "learner"), header("lee", "coach")])
async def test_what_is_anothers_is_not_found_like_what_is_not_there(
    path: str, who: dict[str, str]
) -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            here.house.commit(said(1))
            events = {"Accept": "text/event-stream"}
            there = await here.ask(path, headers=who | events)
        nowhere = path.replace(SESSION, "9" * 8 + SESSION[8:]).replace(CONVERSATION, SESSION)
        absent = await here.ask(nowhere, headers=who | events)
        assert there.refusal == absent.refusal == (404, "not_found")
        assert there.text == absent.text


@pytest.mark.parametrize("name", ["x", "%2e%2e", "5" * 300, SESSION.upper().replace("5", "A")])
async def test_what_cannot_be_an_id_is_not_found(name: str) -> None:
    async with desk() as here:
        assert (await here.ask(f"/api/sessions/{name}")).refusal == (404, "not_found")
        path = f"/api/conversations/{name}/transcript"
        assert (await here.ask(path)).refusal == (404, "not_found")
    assert here.house.disk.reads == 0


async def test_a_transcript_in_conversation_order_and_the_cursor_to_go_on_from() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            here.house.commit(said(2), again(said(1), 3))
            transcript = msgspec.json.decode(
                (await here.ask(TRANSCRIPT)).text, type=SessionTranscript
            )
            assert [u.text for u in transcript.utterances] == ["words 1, no: 3", "words 2"]
            assert [u.speaker for u in transcript.utterances] == ["learner", "learner"]
            assert transcript.seq == 3
            later = (await here.ask(f"{TRANSCRIPT}?since=2")).json
            assert [u["seq"] for u in later["utterances"]] == [3]
            assert (await here.ask(f"{TRANSCRIPT}?since=3")).json["utterances"] == []


@pytest.mark.parametrize("since", ["-1", "x", "", "1.0", "9" * 10, "\u0661"])
async def test_a_cursor_that_is_none_is_refused(since: str) -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            answer = await here.ask(f"{TRANSCRIPT}?since={since}")
            assert answer.refusal == (400, "bad_since")


@pytest.mark.parametrize(("limit", "status"), [("1", 200), ("1000", 200), ("0", 400), ("all", 400)])
async def test_as_many_sessions_as_are_wanted(limit: str, status: int) -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()), here.house.hub.live(FakeCall(head=OTHER)):
            answer = await here.ask(f"/api/sessions?limit={limit}")
            assert answer.status == status
            if limit == "1":
                assert [one["id"] for one in answer.json["sessions"]] == [OTHER.session_id]
                assert answer.json["total"] == 2


async def test_a_conversation_of_several_sessions_from_disk_and_memory() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            here.house.commit(said(1, "First."))
            here.house.disk.put()
            here.house.disk.mark()
            here.house.commit(said(2, "Second."))
            answer = await here.ask(CONVERSATIONS, headers=header("kim", "coach"))
            told = msgspec.json.decode(answer.text, type=ConversationTranscript)
            assert [u.text for u in told.utterances] == ["First.", "Second."]
            assert (told.conversation_id, told.user_id) == (CONVERSATION, LEARNER)


async def test_words_that_are_only_on_their_way_to_the_disk_are_not_shown() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            here.house.commit(said(1))
            here.house.disk.commit(said(2))  # the journal has it, and has not told of a commit
            for path in (TRANSCRIPT, CONVERSATIONS):
                told = (await here.ask(path)).json["utterances"]
                assert [u["seq"] for u in told] == [1]


async def test_where_the_disk_does_not_answer_nothing_is_made_up() -> None:
    async with desk() as here:
        with here.house.hub.live(FakeCall()):
            here.house.feed.log = UtteranceLog(records=1)
            here.house.commit(said(1), said(2))
            here.house.disk.broken = True
            assert (await here.ask(TRANSCRIPT)).refusal == (503, "unavailable")
            assert (await here.ask(CONVERSATIONS)).refusal == (503, "unavailable")
            assert (await here.ask(f"{TRANSCRIPT}?since=1")).status == 200, "memory is enough"


async def test_where_a_coachs_learners_are_unknown_nothing_is_shown() -> None:
    async with desk() as here:
        here.learners.broken = True
        answer = await here.ask("/api/sessions", headers=header("kim", "coach"))
        assert answer.refusal == (503, "unavailable")
        assert answer.headers["Retry-After"] == "5"
