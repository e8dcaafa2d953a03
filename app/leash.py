"""Runs a program that ends when its parent does: `python app/leash.py PARENT_PID PROGRAM ARGUMENT…`

For the case that no `finally` covers: the parent is killed. Linux then sends SIGTERM, upon which each of our processes
stops in order. Elsewhere the program simply runs. A wrapper and not `preexec_fn`, which may deadlock beside threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the program."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(sys.argv[1]):  # it died before we asked
            sys.exit(1)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  the command comes from our own code


if __name__ == "__main__":
    main()
