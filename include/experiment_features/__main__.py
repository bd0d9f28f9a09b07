"""Starts the command line, and ends it: see command_line.py."""

import gc
import os
import signal
import sys


def _run() -> int:
    numbers = (signal.SIGINT, signal.SIGTERM)
    taken = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    for number in taken:  # they end it in silence while there is nothing to clean up
        signal.signal(number, signal.SIG_DFL)
    # Imports make thousands of objects and no garbage: to look for it takes a sixth of their time.
    gc.disable()
    from experiment_features.command_line import main

    gc.freeze()
    gc.enable()
    for number in taken:
        signal.signal(number, signal.default_int_handler)
    try:
        try:
            status = main()
        except SystemExit as end:  # argparse has said how to use it
            status = int(end.code or 0)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads the result has seen enough of it
        return 0
    return status


if __name__ == "__main__":
    # Python takes half a second to take itself down, all of it for nothing.
    os._exit(_run())
