"""An HTTP server that calls the handler as API Gateway does: REST API, stage `test`, proxy integration, API key."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from lambdas.kpi_api.handler import handler

STAGE: Final = "test"
API_KEY: Final = "the-key-of-the-tests"


def proxy_event(method: str, path: str, query: str = "", headers: dict[str, str] | None = None) -> dict[str, Any]:
    """An event of the REST proxy integration.

    Args:
        method: HTTP method.
        path: without the stage, percent-encoded.
        query: percent-encoded, without the question mark.
        headers: of the request.
    """
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        values.setdefault(name, []).append(value)
    return {
        "httpMethod": method,
        "path": path,
        "resource": "/v1/{proxy+}",
        "headers": headers or {},
        "multiValueQueryStringParameters": values or None,
        "queryStringParameters": {name: texts[-1] for name, texts in values.items()} or None,
        "requestContext": {"stage": STAGE, "path": f"/{STAGE}{path}", "requestId": "request-1"},
    }


class _Gateway(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Every method is the handler's to judge."""
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        path = url.path.removeprefix(f"/{STAGE}")
        if path.startswith("/v1/") and self.command != "OPTIONS" and self.headers.get("x-api-key") != API_KEY:
            self._send(403, {"Content-Type": "application/json"}, '{"message":"Forbidden"}')
            return
        answer = handler(proxy_event(self.command, path or "/", url.query, dict(self.headers.items())), None)
        self._send(answer["statusCode"], answer["headers"], answer["body"])

    def _send(self, status: int, headers: dict[str, str], body: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Tests do not want a line for each request."""


@contextmanager
def gateway() -> Iterator[str]:
    """Runs the server on a free port; gives the address of the page."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Gateway)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{STAGE}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
