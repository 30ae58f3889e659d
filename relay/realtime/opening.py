"""How a session begins: what the engine is told first, and a relay-aware client after it."""

from relay.realtime.actions import Action, ToClient, ToEngine
from relay.realtime.events import Event, encode
from relay.realtime.first_update import greeting
from relay.realtime.ledger import Ledger
from relay.realtime.own_items import OwnItems
from relay.realtime.setup import Setup


def opening(setup: Setup, ledger: Ledger, own: OwnItems) -> list[Action]:
    """The session as the grant wants it, what was said before, and the model's greeting."""
    update = ledger.asked(setup.first_update, shown=setup.first_shown)
    told = [update, *(own.create(item) for item in setup.before)]
    welcome = greeting(setup.grant)
    if welcome is not None:
        told.append(ledger.own(welcome))
    actions: list[Action] = [ToEngine(encode(event)) for event in told]
    if setup.grant.relay_events:
        actions.append(ToClient(encode(hello(setup))))
    return actions


def hello(setup: Setup) -> Event:
    """`relay.session`: which session and conversation this is, and until when the token lasts."""
    return {
        "type": "relay.session",
        "session_id": setup.session_id,
        "conversation_id": setup.conversation_id,
        "expires_at": int(setup.grant.caller.expires_at),
    }
