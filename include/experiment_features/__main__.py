"""Starts the command line, and ends it: see command_line.py."""

import gc
import os
import signal
import sys


def _run() -> int:
    # Imports make thousands of objects and no garbage: to look for it takes a sixth of their time.
    gc.disable()
    from experiment_features.command_line import main

    gc.freeze()
    gc.enable()
    # As Control-C does: what is in the temporary folder would stay there otherwise.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
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
