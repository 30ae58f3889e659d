"""A phone that is out of reach: a socket to which nothing comes through for a while."""

import ctypes
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

ATTACH_FILTER, DETACH_FILTER = 26, 27  # SO_ATTACH_FILTER, SO_DETACH_FILTER: asm-generic/socket.h
_DROP: Final = struct.pack("=HBBI", 0x06, 0, 0, 0)  # BPF_RET | BPF_K, 0 bytes: linux/filter.h


class _Options(Protocol):
    def setsockopt(self, level: int, name: int, value: bytes | int, /) -> None: ...


@contextmanager
def out_of_reach(phone: _Options) -> Iterator[None]:
    """Drop every packet for this socket before TCP sees it, so that none is acknowledged.

    What is sent on it meanwhile would still leave: let nobody send.
    """
    program = ctypes.create_string_buffer(_DROP)
    given = struct.pack("@HP", 1, ctypes.addressof(program))  # struct sock_fprog
    phone.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, given)
    try:
        yield
    finally:
        phone.setsockopt(socket.SOL_SOCKET, DETACH_FILTER, 0)
