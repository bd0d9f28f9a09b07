"""Runs the command line (command_line.py), starting and exiting fast."""

import gc
import os
import signal
import sys


def _run() -> int:
    signals = (signal.SIGINT, signal.SIGTERM)
    handled = [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]
    for number in handled:  # exit silently while there is nothing to clean up
        signal.signal(number, signal.SIG_DFL)
    # Imports create many objects but no garbage; collecting would take a sixth of their time.
    gc.disable()
    from experiment_features.command_line import main

    gc.freeze()
    gc.enable()
    for number in handled:
        signal.signal(number, signal.default_int_handler)
    try:
        try:
            status = main()
        except SystemExit as end:  # argparse has printed the usage or the help
            status = int(end.code or 0)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the result has closed the pipe
        return 0
    return status


if __name__ == "__main__":
    # Python's own shutdown takes half a second, and there is nothing left for it to do.
    os._exit(_run())
