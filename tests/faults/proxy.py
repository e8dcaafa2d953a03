"""A network that breaks on command: a TCP door in front of a server's unix socket.

    with Proxy(socket_folder) as proxy:
        worker = trial.worker(TEST_BROKER_URL=proxy.url(database))
        proxy.strike("claim", "hole")          # when the next claim comes by
        proxy.struck.wait()
        proxy.heal()

Faults:

hole        nothing gets through, nothing is closed; what is sent meanwhile arrives when it heals, as TCP would have it
one way     the same for answers alone: statements reach the server
slow        every message takes SLOW_SECONDS more
reset       every connection is reset, new ones as well until it heals
half open   what was connected gets no answer any more, ever, and nothing is closed; new connections work
silent      the same for the one connection that the statement came over, and the server has seen the statement
"""

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from faults.recognition import Recognition

SLOW_SECONDS = 0.2


class Proxy:
    """Takes connections on a port of this machine for the server whose socket is in a folder."""

    def __init__(self, folder: Path) -> None:
        self._server = str(folder / ".s.PGSQL.5432")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._state = threading.Condition()
        self._fault: str | None = None
        self._awaited: tuple[str, str] | None = None
        self._connections: list[_Connection] = []
        self._closed = False
        self.struck = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *error: object) -> None:
        with self._state:
            self._closed, self._fault = True, None
            self._state.notify_all()
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def url(self, database: str, user: str) -> str:
        """As this database is reached through the door."""
        port = self._listener.getsockname()[1]
        return f"postgresql://{user}@127.0.0.1:{port}/{database}?sslmode=disable&gssencmode=disable"

    def strike(self, statement: str, fault: str) -> None:
        """Break when this statement of the broker comes by: before the server has seen it, or with "one way" its
        answer."""
        with self._state:
            self.struck.clear()
            self._awaited = (statement, fault)

    def heal(self) -> None:
        """All is well again, but what is half open stays so."""
        with self._state:
            self._fault = None
            self._state.notify_all()

    # What the connections ask

    def passes(self, statement: str | None, over: "_Connection") -> None:
        """A statement comes by; it may be what somebody waits for."""
        with self._state:
            if self._awaited is not None and self._awaited[0] == statement:
                self._break(self._awaited[1], over)
                self._awaited = None
                self.struck.set()

    def may_go(self, connection: "_Connection", to_server: bool) -> bool:
        """Wait until something may go on; False when the connection is at its end."""
        with self._state:
            if self._fault == "slow":
                self._state.wait(SLOW_SECONDS)
            while not self._closed and (
                connection.dead
                or (connection.silent and not to_server)
                or self._fault == "hole"
                or (self._fault == "one way" and not to_server)
            ):
                self._state.wait()
            return not self._closed and not connection.reset

    def _break(self, fault: str, over: "_Connection") -> None:
        if fault == "silent":
            over.silent = True
        elif fault == "half open":
            for connection in self._connections:
                connection.dead = True
        else:
            self._fault = fault
        if fault == "reset":
            for connection in self._connections:
                connection.close(by_reset=True)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._server)
            except OSError:  # the server is down, as seen over TCP
                client.close()
                continue
            connection = _Connection(self, client, server)
            with self._state:
                self._connections.append(connection)
                if self._fault == "reset":
                    connection.close(by_reset=True)
                    continue
            connection.start()


class _Connection:
    """One client, one server, a thread for each direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._recognition = Recognition()
        self.dead = False
        self.silent = False
        self.reset = False

    def start(self) -> None:
        for direction in (self._to_server, self._to_client):
            threading.Thread(target=self._carry, args=(direction,), daemon=True).start()

    def close(self, *, by_reset: bool = False) -> None:
        if by_reset:
            self.reset = True
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RD)  # wakes our reader; says nothing to the other side
            end.close()

    def _carry(self, direction: Callable[[], None]) -> None:
        try:
            with suppress(OSError):
                direction()
        finally:
            if not self.dead and not self.silent:  # nobody closes what is half open
                self.close()

    def _to_server(self) -> None:
        startup = self._read(4)
        self._server.sendall(startup + self._read(int.from_bytes(startup) - 4))
        while kind := self._client.recv(1):
            length = self._read(4)
            body = self._read(int.from_bytes(length) - 4)
            if kind == b"Q":
                self._proxy.passes(self._recognition.name_of(body[:-1].decode()), self)
            if not self._proxy.may_go(self, to_server=True):
                return
            self._server.sendall(kind + length + body)

    def _read(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            more = self._client.recv(size - len(read))
            if not more:
                raise OSError("the client has gone")
            read += more
        return read

    def _to_client(self) -> None:
        while answer := self._server.recv(65536):
            if not self._proxy.may_go(self, to_server=False):
                return
            self._client.sendall(answer)
