"""The tables, columns and functions that the relay uses in a project, by name."""

from collections.abc import Mapping
from typing import Final

Names = Mapping[str, frozenset[str]]
"""Tables with their columns, or functions with their arguments."""


def _names(**parts: str) -> dict[str, frozenset[str]]:
    return {name: frozenset(listed.split()) for name, listed in parts.items()}


CHAT_TABLES: Final[Names] = _names(
    agents="id",
    conversation_sessions="id conversation_id user_id agent_id title started_at last_active"
    " message_count session_state status",
    chat_messages_v2="id conversation_id session_id sender_user_id sender_agent_id role content"
    " metadata created_at updated_at",
    system_api_keys="provider_name vault_secret_id is_active",
)
"""Those of the text chat; the relay shares them."""

CALL_TABLES: Final[Names] = _names(
    voice_sessions="id conversation_id user_id agent_id model voice door engine started_at ended_at"
    " ending seq",
    voice_usage="id conversation_id user_id agent_id voice_session_id model day seq text_in"
    " text_cached text_out audio_in audio_cached audio_out image_in image_cached reasoning"
    " milliseconds cost_micro",
    coach_assignments="coach_id learner_id created_at",
    coach_actions="id session_id conversation_id coach_id action details at",
    voice_agents="agent_id settings updated_at",
)
"""The relay's own."""

CALL_FUNCTIONS: Final[Names] = _names(
    voice_put="records",
    voice_spent="day agent user_id",
    voice_feed="session since",
    voice_forget="days mode most",
    voice_export="user_id",
    voice_erase="user_id",
    voice_check="",
)
SHARED: Final = ("conversation_sessions", "chat_messages_v2")
"""Tables of the text chat that coaches and learners read, too."""
FOR_THE_SERVICE_ALONE: Final = ("voice_agents", "system_api_keys")
"""They need no policy: nobody but the service reads them."""
