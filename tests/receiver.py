"""A real HTTP server on this machine that answers a webhook as a test wants it to."""

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """`posts`: (headers in lower case, body) of all that came. `answers`: what to do for each in turn, the last for
    ever: a status, a status with headers, or a function of the handler."""

    def __init__(self, *answers: Any, encryption: ssl.SSLContext | None = None) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.answers = list(answers) or [200]
        self.closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length)
                if len(body) < length:  # its sender was killed on the way: that is no post
                    self.close_connection = True
                    return
                receiver.posts.append(({name.lower(): value for name, value in self.headers.items()}, body))
                place = min(len(receiver.posts), len(receiver.answers)) - 1
                answer = receiver.answers[place]
                if callable(answer):
                    answer(self)
                    return
                status, headers = answer if isinstance(answer, tuple) else (answer, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:  # who is gone is gone
                pass

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.scheme = "http"
        if encryption:
            self._server.socket = encryption.wrap_socket(self._server.socket, server_side=True)
            self.scheme = "https"
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.02), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/desk?key=hush"

    def hang(self, handler: Any) -> None:
        """Never answer."""
        self.closing.wait()

    def drip(self, handler: Any) -> None:
        """A byte of a header now and then: each step is in time, the whole is not."""
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
            while not self.closing.wait(0.05):
                handler.wfile.write(b"x")
        except OSError:
            handler.close_connection = True

    def flood(self, handler: Any) -> None:
        """200, and a body without end."""
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while not self.closing.is_set():
                handler.wfile.write(b"x" * 65_536)
        except OSError:
            handler.close_connection = True

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


Answer = Callable[[Any], None]
