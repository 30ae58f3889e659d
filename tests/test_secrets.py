"""No file of the repository holds a key, a token or a password of somebody's."""

import math
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).parents[1]

SHAPES: Final = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}"),
    "a signed token": re.compile(
        r"eyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{32,}"
    ),
    "a key of OpenAI's": re.compile(r"\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{32,}"),
    "a key of Amazon's": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a key of GitHub's": re.compile(
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})"
    ),
    "a key of Supabase's": re.compile(r"\bsb_secret_[A-Za-z0-9_-]{20,}"),
    "a key of DigitalOcean's": re.compile(r"\bdop_v1_[a-f0-9]{64}\b"),
    "a key of ElevenLabs'": re.compile(r"\bsk_[a-f0-9]{40,}\b"),
    "a login in an address": re.compile(r"\b[a-z]+://[^\s:/@'\"{}]+:([^\s/@'\"{}<>]{12,})@"),
}
ASSIGNED: Final = re.compile(
    r"(?i)\b(?:api[_-]?key|secret|token|password)\b['\"]?\s*[:=]\s*['\"]([A-Za-z0-9+/_=-]{24,})['\"]"
)
LEAST: Final = 3.5
RANDOM: Final = 4.0
"""Bits a character from which on a text may be chance: English has 3, hex 4, base64 nearly 6."""


def entropy(text: str) -> float:
    """Bits a character."""
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares)


def _is_chance(text: str) -> bool:
    """Whether nobody would write it: words have no digits among them."""
    return entropy(text) > LEAST and sum(map(str.isdigit, text.split("%", maxsplit=1)[0])) > 1


def secrets_in(text: str) -> Iterator[str]:
    """What in a text is a secret by its shape, or by its name and its chance."""
    for kind, shape in SHAPES.items():
        if any(_is_chance(found[found.lastindex or 0]) for found in shape.finditer(text)):
            yield kind
    for found in ASSIGNED.finditer(text):
        if _is_chance(found[1]) and entropy(found[1]) > RANDOM:
            yield f"a value of {found[0].split('=')[0].split(':')[0].strip()}"


def files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.split("\0") if name]


def test_SX_6_no_file_of_the_repository_holds_a_secret() -> None:
    found = {}
    for name in files():
        path = ROOT / name
        if path.is_symlink() or not path.is_file():
            continue
        text = path.read_bytes().decode(errors="ignore")
        kinds = list(secrets_in(text))
        if kinds:
            found[name] = kinds

    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "OPENAI_API_KEY=sk-proj-" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC2eF4hJ6",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0."
        "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "AKIA" + "Q7ZP2MX9KD4LVB5W",
        "postgres://relay:" + "x7Kq9ZpL2mV4" + "@db.example.org/relay",
        'api_key = "' + "9fK2mX7qLp4Zt8Vb1Nc6Rw3Y" + '"',
        "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj" * 2,
    ],
)
def test_the_scanner_would_find_one(text: str) -> None:
    assert list(secrets_in(text))


@pytest.mark.parametrize(
    "text",
    [
        "sk-simulated-provider-key",
        'secret = "a development secret of more than thirty-two characters"',
        "Authorization: Bearer $TOKEN",
        "http://USER:SECRET@HOST:3128",
    ],
)
def test_what_only_looks_like_one_passes(text: str) -> None:
    assert not list(secrets_in(text))
