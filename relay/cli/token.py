"""`relay token`: a development token."""

import argparse
import json

from relay.auth.tokens import InvalidToken, mint, read_caller, read_claims
from relay.cli.console import fail, say
from relay.config import SettingsError, dev_settings, trust_of
from relay.realtime.grant import Caller
from relay.tasks import unix_clock

HELP = "print a development token"
EXAMPLE = "relay token --sub ada --role coach --ttl 600"


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--sub", required=True, metavar="ID", help="the user's id")
    parser.add_argument("--role", choices=("learner", "coach", "admin"), default="learner")
    parser.add_argument("--agent", metavar="ID", help="the agent this user talks to")
    parser.add_argument("--ttl", type=int, default=3600, metavar="S", help="seconds it is valid")
    parser.add_argument("--json", action="store_true", help="with its expiry, as JSON")


def run(given: argparse.Namespace) -> int:
    """Mint it with the secret that `relay dev` uses in this folder."""
    if not given.sub.strip():
        fail("--sub must not be empty", code=2)
    if given.ttl <= 0:
        fail("--ttl must be a positive number of seconds", code=2)
    try:
        settings = dev_settings().settings
    except SettingsError as error:
        fail(*error.problems)
    secret = settings.supabase_jwt_secret
    if secret is None:
        fail("there is no secret to sign with: set SUPABASE_JWT_SECRET")
    now = unix_clock()()
    caller = Caller(given.sub, given.role, now + given.ttl, given.agent)
    token = mint(caller, secret.get_secret_value(), now, trust_of(settings).issuer)
    try:
        read_caller(read_claims(token, secret.get_secret_value(), "HS256"), None, now)
    except InvalidToken as why:
        fail(f"the relay would refuse that token: {why}", code=2)
    say(json.dumps({"token": token, "expires_at": int(now + given.ttl)}) if given.json else token)
    return 0
