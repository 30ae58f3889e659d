"""What a value in the environment must look like; each error says it without the value itself."""

from collections.abc import Callable
from urllib.parse import urlsplit

from pydantic import SecretStr


def url(*schemes: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"must be an address that begins with {schemes[0]}://")
        return value.rstrip("/")

    return check


def key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.isascii() or not text.isprintable() or " " in text or not text:
        raise ValueError("has a space, a line break or a letter that no key has")
    return value


def shared_secret(value: SecretStr) -> SecretStr:
    if "-----BEGIN" in value.get_secret_value():
        raise ValueError("is a key file; the shared HS256 secret is wanted (keys: SUPABASE_URL)")
    return value


def level(value: object) -> object:
    text = str(value).lower()
    return "warning" if text == "warn" else text


def origins(value: object) -> object:
    if not isinstance(value, str):
        return value
    entries = [entry.strip().rstrip("/").lower() for entry in value.split(",") if entry.strip()]
    for origin in entries:
        parts = urlsplit(origin)
        if origin != "*" and (f"{parts.scheme}://{parts.netloc}" != origin or not parts.hostname):
            raise ValueError("must be origins with commas between, like https://app.example.org")
    return () if "*" in entries else tuple(entries)
