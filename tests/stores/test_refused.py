from relay.interfaces import FOREIGN_CONVERSATION, RecordsRefused


def test_a_refusal_names_ids_and_reasons_and_counts_them_in_its_text() -> None:
    refusal = RecordsRefused({"an-id": FOREIGN_CONVERSATION})
    assert refusal.refused == {"an-id": "foreign_conversation"}
    assert str(refusal) == "1 records refused"
