"""The client's address, from what the TCP peer is and what proxies say."""

import pytest

from relay.proxies import TrustedProxies

NGINX, BALANCER, CLIENT = "127.0.0.1", "10.1.2.3", "203.0.113.9"


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "real_ip", "client"),
    [
        # Without a proxy the headers are the client's own words.
        (CLIENT, [], None, CLIENT),
        (CLIENT, ["198.51.100.1"], "198.51.100.1", CLIENT),
        # Behind one: the last address, for the others can be made up.
        (NGINX, [CLIENT], None, CLIENT),
        (NGINX, [f"198.51.100.1, {CLIENT}"], "198.51.100.1", CLIENT),
        # Behind several, each of which appends the one before it.
        (NGINX, [f"198.51.100.1, {CLIENT}, {BALANCER}"], None, CLIENT),
        (NGINX, [f"198.51.100.1, {CLIENT}", BALANCER], None, CLIENT),
        # With X-Real-IP alone, or nothing but proxies before it.
        (NGINX, [], CLIENT, CLIENT),
        (NGINX, [BALANCER], CLIENT, CLIENT),
        # A client of this very machine.
        (NGINX, [NGINX], NGINX, NGINX),
        (NGINX, [], None, NGINX),
        # What cannot be read is not believed, nor what stands before it.
        (NGINX, [f"{CLIENT}, unknown"], None, NGINX),
        (NGINX, [f"{CLIENT}, "], "nonsense", NGINX),
        # Nor is an address with something behind it, in the middle of the list or as its end.
        (NGINX, [f"{CLIENT}, [::1]evil"], None, NGINX),
        (NGINX, [f"{CLIENT}, 127.0.0.1:evil"], None, NGINX),
        (NGINX, [f"{CLIENT}, [127.0.0.1]"], None, NGINX),
        (NGINX, [], "[203.0.113.7]x", NGINX),
        ("[::1]evil", [CLIENT], None, "[::1]evil"),
        # Other spellings of addresses.
        ("::ffff:127.0.0.1", [f"{CLIENT}:51234"], None, CLIENT),
        ("::1", ["[2001:db8::7]:51234"], None, "2001:db8::7"),
        ("::ffff:203.0.113.9", [], None, CLIENT),
        ("", [CLIENT], None, ""),
    ],
)
def test_it_is_the_last_one_that_is_no_trusted_proxy(
    peer: str, forwarded_for: list[str], real_ip: str | None, client: str
) -> None:
    proxies = TrustedProxies(["127.0.0.0/8", "::1", "10.0.0.0/8"])

    assert proxies.client_ip(peer, forwarded_for, real_ip) == client


def test_with_no_trusted_proxy_the_peer_is_the_client() -> None:
    assert TrustedProxies([]).client_ip(NGINX, [CLIENT], CLIENT) == NGINX


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="nginx"):
        TrustedProxies(["nginx"])
