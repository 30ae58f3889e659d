from relay.realtime.records import newest
from tests.feed.calls import again, said
from tests.stores.words import Call, texts

LATER = Call(session_id="77777777-7777-4777-8777-777777777777", started_at=1_760_000_090.0)


def test_of_each_utterance_the_newest_version_in_conversation_order() -> None:
    better = again(said(1, "One"), 3)
    assert newest([said(2, "Two"), better, said(1, "One")]) == [better, said(2, "Two")]


def test_sessions_stand_one_after_the_other() -> None:
    records = [LATER.user("Three", 0.5), said(2, "Two"), said(1, "One")]
    assert texts(newest(records)) == ["One", "Two", "Three"]


def test_parts_of_one_item_stand_in_their_order() -> None:
    second = LATER.assistant("b", 1.0, content_index=1, seq=1)
    first = LATER.assistant("a", 1.0, seq=2)
    assert texts(newest([second, first])) == ["a", "b"]
