"""Becomes a command that ends when the process that started it does, however that ends (on Linux).

    python demo/tied.py PARENT COMMAND ARGUMENT ...

Elsewhere a command goes on to its end, and keeps the demo's folder until then (`pipeline.claimed`).
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>; what it sets outlives exec

if __name__ == "__main__":
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it ended before the call
        sys.exit(1)
    os.execvp(command[0], command)
