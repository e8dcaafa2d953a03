"""What the console script `atum` runs: Ctrl-C is answered in one line also while the command is being loaded, which
takes a second, or several on a busy machine."""

import os
import sys


def main() -> None:
    """Load the command and run it."""
    _open_what_is_closed()
    try:
        from app.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("atum: interrupted\n")
        sys.exit(130)


def _open_what_is_closed() -> None:
    """Started without standard output or error (`>&-`), the command works all the same; nobody reads what it says."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  as long as the process
