"""Reading a file that a command was given."""

from pathlib import Path

from desk.errors import InvalidInput


def text_of(path: Path) -> str:
    """Its text. Raises InvalidInput: it cannot be read, or is not UTF-8; the message says where."""
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}.") from None
