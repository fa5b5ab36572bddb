"""HTTP servers on ports of 127.0.0.1, in threads of this process; moto's is one."""

from __future__ import annotations

import functools
import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flask import Flask
from moto.backends import SERVICE_NAMES
from moto.moto_server import werkzeug_app
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import ThreadedWSGIServer

from local_aws.browsers import no_foreign_pages, own_hosts_only
from local_aws.logs import log_to_file
from local_aws.patching import MotoObject, replace

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

HOST: Final = "127.0.0.1"
"""Never another address: the embedded AWS runs the scripts that somebody uploads."""

_BACKLOG: Final = 128
_POLL_SECONDS: Final = 0.05
_REQUEST_DEADLINE_SECONDS: Final = 5.0


class PortInUseError(Exception):
    """Another program listens on the port."""


class LocalServer:
    """Serves a WSGI application by HTTP, to those who call it by its own address.

    Args:
        app: The application.
        port: Port of 127.0.0.1; 0 takes a free one.
        name: Of its thread.

    Raises:
        PortInUseError: The port is taken.
    """

    def __init__(self, app: WSGIApplication, port: int, *, name: str) -> None:
        with _listen(port) as listener:
            self._server = _Server(listener, app)
        self.port: Final = self._server.port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), name=name)
        self._thread.start()

    @property
    def endpoint_url(self) -> str:
        """Its address, without a slash at the end; for moto, what clients put into `AWS_ENDPOINT_URL`."""
        return f"http://{HOST}:{self.port}"

    def close(self) -> None:
        """Stop listening, and wait for the requests under way."""
        self._server.shutdown()
        self._thread.join()
        self._server.join_requests(_REQUEST_DEADLINE_SECONDS)


class MotoServer(LocalServer):
    """Serves moto's backends by HTTP.

    `moto.server.ThreadedMotoServer` is not used: when the port is taken it waits for ever, and its `stop` leaves
    request threads behind.

    Args:
        port: Port of 127.0.0.1; 0 takes a free one.
        request_log: File that gets one line per request of any LocalServer, and the traceback of a request that crashed
            moto.
        guard: Gives the application that stands in front of moto's and decides who may ask it.

    Raises:
        PortInUseError: The port is taken.
    """

    def __init__(
        self, port: int, request_log: Path, *, guard: Callable[[WSGIApplication], WSGIApplication] = lambda moto: moto
    ) -> None:
        with ExitStack() as closers:
            closers.enter_context(log_to_file(request_log, "werkzeug", level=logging.INFO))
            self._pages: dict[str, Callable[[], str]] = {}
            replace(werkzeug_app, "DISABLE_GLOBAL_CORS", True)  # moto lets every site read every answer
            app = guard(_Dispatcher(create_backend_app))
            super().__init__(no_foreign_pages(app, self._pages), port, name="moto-server")
            self._closers = closers.pop_all()

    def add_page(self, path: str, page: Callable[[], str]) -> None:
        """Serve an HTML page for a browser, beside the APIs; who knows its path may read it."""
        self._pages[path] = page

    def close(self) -> None:
        """Stop listening, and wait for the requests under way."""
        super().close()
        self._closers.close()


class _Dispatcher(DomainDispatcherApplication):
    """Caches which service answers a host. moto lists the folders of its package for every request: 3 ms."""

    def __init__(self, create_app: Callable[[SERVICE_NAMES], Flask]) -> None:
        super().__init__(create_app)
        self._backend_of = functools.lru_cache(maxsize=256)(super().get_backend_for_host)

    def get_backend_for_host(self, host: str | None) -> MotoObject:
        return self._backend_of(host)


class _RequestHandler(MotoRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log the action too, which most services carry in a header and not in the path."""
        action = self.headers.get("X-Amz-Target", "-")
        self.log("info", "%s %s %s %s %s", self.command, self.path, action, code, size)


class _Server(ThreadedWSGIServer):
    def __init__(self, listener: socket.socket, app: WSGIApplication) -> None:
        self._requests: set[threading.Thread] = set()
        super().__init__(
            HOST,
            listener.getsockname()[1],
            own_hosts_only(app, listener.getsockname()[1]),
            handler=_RequestHandler,
            fd=listener.fileno(),
        )

    def process_request_thread(self, request: socket.socket | tuple[bytes, socket.socket], client_address: str) -> None:
        thread = threading.current_thread()
        self._requests.add(thread)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._requests.discard(thread)

    def join_requests(self, seconds: float) -> None:
        """Wait for the requests under way, all in all at most the given time (a client may poll for long)."""
        deadline = time.monotonic() + seconds
        for thread in tuple(self._requests):
            thread.join(max(0.0, deadline - time.monotonic()))


def _listen(port: int) -> socket.socket:
    # Werkzeug itself answers a taken port with sys.exit.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise PortInUseError(
            f"Port {port} of {HOST} cannot be used ({error.strerror}). Stop what listens there, or choose another port."
        ) from error
    return listener
