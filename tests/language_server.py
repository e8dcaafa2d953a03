"""A real OpenAI-compatible server on this machine that answers as a test wants it to."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "tiny-1"


class LanguageServer:
    """`asked`: (headers in lower case, body) of each question. `answers`: for each question in turn, the last for ever,
    the content of the answer (an object becomes JSON), a `Raw` answer, or a function of the handler."""

    def __init__(self, *answers: Any) -> None:
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.answers = list(answers)
        self.closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply(200, json.dumps({"object": "list", "data": [{"id": MODEL}]}).encode())

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.asked.append(({name.lower(): value for name, value in self.headers.items()}, body))
                answer = server.answers[min(len(server.asked), len(server.answers)) - 1]
                if callable(answer):
                    answer(self)
                elif isinstance(answer, Raw):
                    self.reply(answer.status, answer.body, answer.kind)
                else:
                    content = answer if isinstance(answer, str) else json.dumps(answer)
                    message = {"role": "assistant", "content": content}
                    self.reply(200, json.dumps({"choices": [{"index": 0, "message": message}]}).encode())

            def reply(self, status: int, body: bytes, kind: str = "application/json") -> None:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:  # who is gone is gone
                pass

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.02), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def hang(self, handler: Any) -> None:
        """Never answer."""
        self.closing.wait()

    def drip(self, handler: Any) -> None:
        """A byte now and then: each step is in time, the whole is not."""
        try:
            handler.send_response(200)
            handler.end_headers()
            while not self.closing.wait(0.05):
                handler.wfile.write(b" ")
                handler.wfile.flush()
        except OSError:
            handler.close_connection = True

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


class Raw:
    """An answer that is no chat completion."""

    def __init__(self, body: bytes, status: int = 200, kind: str = "text/html") -> None:
        self.body, self.status, self.kind = body, status, kind
