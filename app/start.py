"""What the console script `atum` runs: Ctrl-C is answered in one line also while the command is being loaded, which
takes a second, or several on a busy machine."""

import sys


def main() -> None:
    """Load the command and run it."""
    try:
        from app.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("atum: interrupted\n")
        sys.exit(130)
