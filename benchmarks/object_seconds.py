"""Seconds in which an object is read or written, as the server sees it: how much of a job's time is S3's."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class ObjectSeconds:
    """A WSGI application in front of the embedded AWS.

    Requests that are under way at the same time count once: the seconds are of the clock. What a client does before it
    has sent a request, such as signing it, does not count.

    Args:
        bucket: the bucket whose objects count.

    Attributes:
        seconds: in which at least one request for an object was under way.
    """

    def __init__(self, bucket: str) -> None:
        self.seconds = 0.0
        self._path = f"/{bucket}/"
        self._lock = threading.Lock()
        self._under_way = 0
        self._since = 0.0

    def guard(self, app: WSGIApplication) -> WSGIApplication:
        """Return the application with this one in front."""

        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if environ["PATH_INFO"].startswith(self._path):
                return self._answer(app, environ, start_response)
            return app(environ, start_response)

        return application

    def _answer(self, app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        with self._counting():
            answer = app(environ, start_response)
            try:
                yield from answer
            finally:
                if hasattr(answer, "close"):
                    answer.close()

    @contextmanager
    def _counting(self) -> Iterator[None]:
        with self._lock:
            if not self._under_way:
                self._since = time.monotonic()
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1
                if not self._under_way:
                    self.seconds += time.monotonic() - self._since
