"""How the relay itself gets into a project."""

from relay.interfaces import SupabaseCredentials


def test_the_service_key_is_in_no_repr() -> None:
    assert "sb_secret" not in repr(SupabaseCredentials("https://p.supabase.co", "sb_secret_1"))
