"""What `relay check` says of the doors of older systems."""

import socket

from relay.check.local import check_door


async def test_a_door_is_there_or_what_it_lacks_is_named() -> None:
    assert (await check_door(("json",), "doors", "127.0.0.1", None)).state == "ok"
    missing = await check_door(("no_such_module",), "livekit", "127.0.0.1", None)
    assert missing.state == "fail"
    assert "relay[livekit]" in f"{missing}"


async def test_a_port_of_its_own_is_looked_at() -> None:
    assert "any free port" in f"{await check_door(('json',), 'doors', '127.0.0.1', 0)}"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert "in use" in f"{await check_door(('json',), 'doors', '127.0.0.1', port)}"
