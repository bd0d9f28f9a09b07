#!/usr/bin/env python3
"""Starts Chromium so that it does not notice when the network changes.

Chromium aborts all loading whenever a network address appears or disappears, as happens each time
that other tests start or stop a container. Linux announces this on netlink sockets, so Chromium is
not allowed to open any:
https://www.kernel.org/doc/html/latest/userspace-api/seccomp_filter.html

usage: chromium.py [ARGUMENT ...]
"""

import ctypes
import os
import platform
import shutil
import struct
import sys
from errno import EAFNOSUPPORT
from socket import AF_NETLINK

NAMES = ("chromium", "google-chrome")
"""On Debian and on GitHub's runners."""

SOCKET = {"x86_64": 41, "aarch64": 198}
"""The number of the system call `socket`, by machine."""

# From linux/prctl.h, linux/seccomp.h and linux/filter.h.
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO = 0x7FFF0000, 0x00050000
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
SYSTEM_CALL, FIRST_ARGUMENT = 0, 16
"""Where struct seccomp_data has them."""


def find() -> str | None:
    """The path of Chromium; None if it is not installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def deny_netlink() -> None:
    """Keeps this process, and all that it becomes or starts, from opening netlink sockets."""
    instructions = [  # what to do, how many to skip if it holds and if not, with what
        (LOAD, 0, 0, SYSTEM_CALL),
        (IF_EQUAL, 0, 3, SOCKET[platform.machine()]),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (IF_EQUAL, 0, 1, AF_NETLINK),
        (RETURN, 0, 0, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
        (RETURN, 0, 0, SECCOMP_RET_ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *i) for i in instructions))
    program = struct.pack("HP", len(instructions), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for option in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0),
    ):
        if libc.prctl(*option):
            raise OSError(ctypes.get_errno(), f"prctl{option[:2]} failed")


if __name__ == "__main__":
    if platform.machine() in SOCKET:
        deny_netlink()
    if not (program := find()):
        raise SystemExit("chromium.py: Chromium is not installed")
    os.execv(program, [program, *sys.argv[1:]])  # noqa: S606
