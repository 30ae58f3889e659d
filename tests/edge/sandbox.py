"""Starts a program in the part of a unit's sandbox that needs no systemd as process 1.

`python -m tests.edge.sandbox UNIT PROGRAM ARGUMENTS…` sets no_new_privs, refuses memory that is
written and run (MemoryDenyWriteExecute), and loads the unit's SystemCallFilter and
RestrictAddressFamilies as the kernel's own filter, through the library that systemd uses. What
works here works under the unit as far as these go; namespaces and read-only trees are not in it.
"""

import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ALLOW, EPERM = 0x7FFF0000, 0x00050000 | 1  # SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(EPERM): seccomp.h
EQUAL = 4  # SCMP_CMP_EQ
NO_NEW_PRIVS = 38  # PR_SET_NO_NEW_PRIVS: prctl.h
DENY_WRITE_EXECUTE = 65  # PR_SET_MDWE, with 1 = PR_MDWE_REFUSE_EXEC_GAIN; Linux 6.3


class Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp`: argument number, operator, value."""

    _fields_ = [  # type: ignore[mutable-override, unused-ignore]  # as ctypes has it
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("unused", ctypes.c_uint64),
    ]


def setting(unit: str, name: str) -> list[str]:
    """The values of every line of this name, in order."""
    lines = (line.partition("=") for line in unit.splitlines())
    return [value for key, _, value in lines if key == name]


def allowed_calls(unit: str) -> set[str]:
    """The system calls that the unit's SystemCallFilter lines leave."""
    calls: set[str] = set()
    for value in setting(unit, "SystemCallFilter"):
        named = set(members(value.removeprefix("~").split()))
        calls = calls - named if value.startswith("~") else calls | named
    return calls


def members(names: Iterable[str]) -> Iterable[str]:
    """System calls by name; a group gives what systemd has in it."""
    for name in names:
        if not name.startswith("@"):
            yield name
            continue
        listed = subprocess.run(
            ["systemd-analyze", "syscall-filter", name, "--no-pager"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        inside = (line.strip() for line in listed.splitlines()[1:])
        yield from members(line for line in inside if line and not line.startswith("#"))


def load(calls: Iterable[str], families: Iterable[str]) -> None:
    """Allow these system calls, and `socket` for these families alone, from now on."""
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    table = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(EPERM)))
    for name in sorted(set(calls) - {"socket"}):
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # this machine has it
            must(library.seccomp_rule_add_array(table, ctypes.c_uint32(ALLOW), number, 0, None))
    number = library.seccomp_syscall_resolve_name(b"socket")
    for family in families:
        only = Comparison(0, EQUAL, int(getattr(socket, family)), 0)
        allow = ctypes.c_uint32(ALLOW)
        must(library.seccomp_rule_add_array(table, allow, number, 1, ctypes.byref(only)))
    must(library.seccomp_load(table))


def must(result: int) -> None:
    if result != 0:
        raise OSError(abs(result), os.strerror(abs(result)))


def main(path: str, *command: str) -> None:
    unit = Path(path).read_text()
    calls = allowed_calls(unit)
    families = " ".join(setting(unit, "RestrictAddressFamilies")).split()
    system = ctypes.CDLL(None, use_errno=True)
    must(system.prctl(NO_NEW_PRIVS, 1, 0, 0, 0))
    if "yes" in setting(unit, "MemoryDenyWriteExecute"):
        system.prctl(DENY_WRITE_EXECUTE, 1, 0, 0, 0)  # an older kernel does not know it
    load(calls, families)
    os.execvp(command[0], command)  # noqa: S606 - becoming it is the point


if __name__ == "__main__":
    main(*sys.argv[1:])
