"""Runs the command line (command_line.py), starting and exiting fast."""

import gc
import io
import logging
import os
import signal
import sys


def _run() -> int:
    _prepare_streams()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handled = [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]
    for number in handled:  # exit silently while there is nothing to clean up
        signal.signal(number, signal.SIG_DFL)
    # Imports create many objects but no garbage; collecting would take a sixth of their time.
    gc.disable()
    from experiment_features.command_line import main

    gc.freeze()
    gc.enable()
    try:
        for number in handled:
            signal.signal(number, signal.default_int_handler)
        status = main()
    except SystemExit as end:  # argparse has printed the usage or the help
        status = int(end.code or 0)
    except KeyboardInterrupt:  # one more, while the first was being reported
        return 130
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # the reader has closed the pipe
    except OSError:
        return status or 4
    return status


def _prepare_streams() -> None:
    """Makes standard output and error accept every character, and reopens closed ones."""
    for number in range(3):  # otherwise a file of the run would get the number, and their text
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.raiseExceptions = False  # a failure to log does not fail the run


if __name__ == "__main__":
    # Python's own shutdown takes half a second, and there is nothing left for it to do.
    os._exit(_run())
