"""What a token says, checked and read as a caller; pure, the time is an argument."""

from collections.abc import Mapping

from relay.realtime.grant import Caller, Role

AUDIENCE = "authenticated"  # Supabase puts it into every user's token
LEEWAY = 10.0  # seconds: how far the clocks of the issuer and of this machine may be apart
LATEST = 253_402_300_800  # the year 10000; beyond it a time is a mistake or an attack
MAX_SUBJECT = 255  # characters; Supabase's are UUIDs of 36


class Unverified(Exception):  # noqa: N818 - it is an outcome, not a fault
    """The token proves nothing; the text says why and holds nothing of the token itself."""


def read_caller(claims: Mapping[str, object], issuer: str | None, now: float) -> Caller:
    """Check the claims of a token whose signature is good, and say who it is.

    `issuer` None means that any is believed; `now` is in Unix seconds. Raises `Unverified`.
    """
    if issuer is not None and claims.get("iss") != issuer:
        raise Unverified("wrong issuer")
    audience = claims.get("aud")
    if AUDIENCE not in (audience if isinstance(audience, list) else [audience]):
        raise Unverified("wrong audience")
    expires_at = _lifetime(claims, now)
    metadata = claims.get("app_metadata")
    if not isinstance(metadata, Mapping):
        metadata = {}
    agent_id = metadata.get("agent_id")
    return Caller(
        sub=_subject(claims.get("sub")),
        role=_role(metadata.get("role")),
        expires_at=expires_at,
        agent_id=agent_id if isinstance(agent_id, str) and agent_id else None,
    )


def _lifetime(claims: Mapping[str, object], now: float) -> float:
    """Return the token's end; raises `Unverified` when it has ended or has not begun."""
    expires_at = _seconds(claims.get("exp"), "exp")
    if now >= expires_at + LEEWAY:
        raise Unverified("expired")
    for name in ("nbf", "iat"):
        if name in claims and _seconds(claims[name], name) > now + LEEWAY:
            raise Unverified(f"not valid yet ({name})")
    return expires_at


def _seconds(value: object, name: str) -> float:
    # JSON's true is an int to Python, NaN compares false, and an int of any length compares.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
        raise Unverified(f"{name} is missing or not a time")
    return float(value)


def _subject(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Unverified("no subject")
    if len(value) > MAX_SUBJECT or not value.isprintable():
        raise Unverified("the subject is too long or not printable")
    return value


def _role(value: object) -> Role:
    # Anything unknown is the least of the three: a role is only ever gained by its exact name.
    match value:
        case "coach":
            return "coach"
        case "admin":
            return "admin"
        case _:
            return "learner"
