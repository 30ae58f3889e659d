"""Who is given what the development pages need: nobody behind a proxy, and nobody by guessing."""

from unittest.mock import Mock

import pytest
from aiohttp import HttpVersion10
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from relay.http.page_access import (
    MAX_WRONG_CODES,
    WRONG_SECONDS,
    PageKey,
    TooManyCodes,
    is_local_page,
    is_loopback_host,
)

BROWSER = {"Host": "localhost:8081", "Sec-Fetch-Site": "same-origin"}


def request(headers, peer: object = ("127.0.0.1", 50000), **options):
    transport = Mock()
    transport.get_extra_info = lambda name, default=None: peer if name == "peername" else default
    options = {"headers": headers, "transport": transport, **options}
    return make_mocked_request("GET", "/config.json", **options)


@pytest.mark.parametrize(
    "headers",
    [
        BROWSER,
        {"Host": "127.0.0.1:8081"},
        {"Host": "[::1]:8081"},
        {"Host": "localhost"},
        {"Host": "localhost:8081", "Origin": "http://localhost:8081"},
        {**BROWSER, "Origin": "http://LOCALHOST:8081"},
    ],
)
def test_a_page_of_this_machine_may_read(headers):
    assert is_local_page(request(headers))


@pytest.mark.parametrize("peer", [("127.0.0.1", 1), ("127.8.8.8", 1), ("::1", 1, 0, 0)])
def test_any_loopback_peer_will_do(peer):
    assert is_local_page(request(BROWSER, peer))


@pytest.mark.parametrize(
    ("why", "headers"),
    [
        ("a rebound name", {"Host": "evil.example:8081"}),
        ("a name that only starts right", {"Host": "localhost.evil.example"}),
        ("a name that only ends right", {"Host": "evillocalhost"}),
        ("a private address", {"Host": "192.168.1.2:8081"}),
        ("any address", {"Host": "0.0.0.0:8081"}),
        ("a name with an address in it", {"Host": "127.0.0.1.evil.example"}),
        ("no host", {"Host": ""}),
        ("another site", {**BROWSER, "Sec-Fetch-Site": "cross-site"}),
        ("another port of this site", {**BROWSER, "Sec-Fetch-Site": "same-site"}),
        ("the address bar", {**BROWSER, "Sec-Fetch-Site": "none"}),
        ("another origin", {**BROWSER, "Origin": "http://localhost:3000"}),
        ("a sandboxed frame", {**BROWSER, "Origin": "null"}),
        ("another scheme", {**BROWSER, "Origin": "https://localhost:8081"}),
        ("a proxy", {**BROWSER, "X-Forwarded-For": "203.0.113.9"}),
        ("a proxy that names only itself", {**BROWSER, "Via": "1.1 edge"}),
        ("a standard proxy", {**BROWSER, "Forwarded": "for=203.0.113.9"}),
        ("nginx as many set it up", {**BROWSER, "X-Real-IP": "203.0.113.9"}),
        ("a proxy's scheme alone", {**BROWSER, "x-forwarded-proto": "https"}),
        ("a proxy's prefix", {**BROWSER, "X-Forwarded-Prefix": "/voice"}),
        ("a tunnel", {**BROWSER, "CF-Connecting-IP": "203.0.113.9"}),
        ("a tunnel's number alone", {**BROWSER, "cf-ray": "1"}),
        ("a network of caches", {**BROWSER, "CDN-Loop": "edge"}),
        ("a mesh", {**BROWSER, "X-Envoy-External-Address": "203.0.113.9"}),
        ("a host with something behind it", {**BROWSER, "Host": "[::1]evil"}),
        ("two hosts", CIMultiDict([("Host", "localhost:8081"), ("Host", "evil.example")])),
    ],
)
def test_no_other_request_may(why, headers):
    assert not is_local_page(request(headers)), why


@pytest.mark.parametrize("peer", [("192.168.1.2", 1), ("203.0.113.9", 1), None])
def test_a_peer_that_is_not_on_loopback_may_not_whatever_its_headers(peer):
    assert not is_local_page(request(BROWSER, peer))


def test_an_ipv4_peer_on_an_ipv6_socket_is_judged_by_its_ipv4_address():
    assert is_local_page(request(BROWSER, ("::ffff:127.0.0.1", 1, 0, 0)))
    assert not is_local_page(request(BROWSER, ("::ffff:203.0.113.9", 1, 0, 0)))


@pytest.mark.parametrize("host", ["[::1]", "[::1]:80", "LOCALHOST:1", "127.1.2.3", "localhost."])
def test_loopback_names(host):
    assert is_loopback_host(host)


@pytest.mark.parametrize(
    "host",
    [
        *("[::2]:80", "[", "::1", "127.0.0", "2130706433", "localhost@x", "[::1]evil", "[::1]:"),
        *("[::1]evil:80", "[::1]:80evil", "127.0.0.1:80@x", "127.0.0.1:x", "localhost:", "[::1"),
        *(
            "localhost:8081.evil.example",
            "localhost..",
            "127.0.0.1 ",
            "localhost\n",
            "[127.0.0.1]x",
        ),
    ],
)
def test_not_loopback_names(host):
    assert not is_loopback_host(host)


def test_a_request_in_http_1_0_came_through_a_proxy():
    """As nginx speaks to what is behind it, unless it is told otherwise."""
    assert not is_local_page(request(BROWSER, version=HttpVersion10))


def test_the_code_is_worth_the_cookie_in_every_browser():
    key = PageKey()
    first, second = key.cookie_for(key.code, 0.0), key.cookie_for(key.code, 1.0)

    assert first is not None
    assert first == second
    assert key.opens(first)


def test_no_other_run_and_no_code_opens():
    key, before = PageKey(), PageKey()
    earlier = before.cookie_for(before.code, 0.0)

    assert key.cookie_for(before.code, 0.0) is None
    assert not any(key.opens(cookie) for cookie in ("", "\ud800é", key.code, str(earlier)))


def test_wrong_codes_are_bounded_for_a_while():
    key = PageKey()
    for n in range(MAX_WRONG_CODES):
        assert key.cookie_for(f"guess {n}", float(n)) is None
    with pytest.raises(TooManyCodes):
        key.cookie_for(key.code, MAX_WRONG_CODES + 1.0)

    assert key.cookie_for(key.code, WRONG_SECONDS) is not None


def test_right_codes_are_not_counted():
    key = PageKey()
    cookies = {key.cookie_for(key.code, 0.0) for _ in range(5 * MAX_WRONG_CODES)}
    assert len(cookies) == 1
