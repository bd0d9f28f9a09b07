"""Keeps the memory that a block of lines leaves for the next one. Plainly: do nothing."""

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""glibc's numbers (malloc.h) of the two options that are set here."""


def keep_freed_memory() -> None:
    """Has this process keep large pieces of memory that it frees, up to some tens of megabytes.

    glibc hands them back to the system, which clears them before it gives them again: a third of
    the time that typing takes. Other C libraries are left as they are. See man 3 mallopt.
    """
    with suppress(AttributeError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(_M_MMAP_THRESHOLD, 32 * 2**20)
        set_option(_M_TRIM_THRESHOLD, 64 * 2**20)
