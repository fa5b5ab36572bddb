"""The process of a Lambda execution environment: imports a handler, then answers one event after another.

Run as a file (`python -I -S -u lambda_child.py settings.json`), with the standard library only. What the handler may
import is the standard library and the folders that the settings name, a JSON object:

    connection   file descriptor of a `multiprocessing.connection.Connection`; when its other end is closed, because
                 the process that started this one is gone, however it died, this process group is killed
    handler      module.function, as a function's configuration has it
    import_path  folders: the function's code first, then what the runtime brings
    context      what the function's context object tells of the function

The first message is `null` once the handler is imported, or the error that prevented that. Then each request,
`{"event": text, "request_id", "deadline"}` (seconds since 1970), is answered by `{"result": text}` or
`{"error": {"errorType", "errorMessage", "stackTrace", …}}`, in the form of Lambda's own Python runtime
(https://github.com/aws/aws-lambda-python-runtime-interface-client). An event that ends the process is not answered.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any

Handler = Callable[[Any, Any], Any]


class InitError(Exception):
    """The handler cannot be used; says how Lambda words it."""

    def __init__(self, error_type: str, message: str, frames: TracebackType | None = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.frames = frames


def main() -> None:
    """Answers until the other end is closed."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    connection = Connection(settings["connection"])
    os.set_inheritable(settings["connection"], False)
    requests = _requests_of(connection)
    sys.path[:0] = settings["import_path"]
    logging.getLogger().addHandler(logging.StreamHandler(sys.stdout))
    try:
        handler = find_handler(settings["handler"])
    except InitError as error:
        _send(connection, _described(error.error_type, str(error), error.frames))
        return
    except Exception as error:  # noqa: BLE001 - whatever the module raises is the outcome
        _send(connection, _described(type(error).__name__, str(error), error.__traceback__))
        return
    _send(connection, None)
    while True:
        _send(connection, answer(handler, requests.get(), settings["context"]))


def _requests_of(connection: Connection) -> queue.SimpleQueue[dict[str, Any]]:
    """Reads requests as they come, so that the end of the other side is noticed while the handler works, too."""
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        try:
            while True:
                requests.put(json.loads(connection.recv_bytes()))
        except (EOFError, OSError):
            os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=read, name="requests", daemon=True).start()
    return requests


def _send(connection: Connection, message: object) -> None:
    connection.send_bytes(json.dumps(message).encode())


def find_handler(name: str) -> Handler:
    """Import a handler.

    Args:
        name: `package.module.function`; a module may be written with slashes.

    Raises:
        InitError: There is no such module or function, or the module does not import.
    """
    module_name, dot, function_name = name.rpartition(".")
    if not dot:
        raise InitError("Runtime.MalformedHandlerName", f"Bad handler '{name}': it must be <module>.<function>")
    module_name = module_name.replace("/", ".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {error}"
        raise InitError("Runtime.ImportModuleError", message) from error
    except SyntaxError as error:
        message = f"Syntax error in module '{module_name}': {error}"
        raise InitError("Runtime.UserCodeSyntaxError", message, error.__traceback__) from error
    if not hasattr(module, function_name):
        message = f"Handler '{function_name}' missing on module '{module_name}'"
        raise InitError("Runtime.HandlerNotFound", message)
    handler: Handler = getattr(module, function_name)
    return handler


def answer(handler: Handler, request: dict[str, Any], function: dict[str, Any]) -> dict[str, Any]:
    """Let the handler answer an event.

    Args:
        handler: The function's handler.
        request: `event`, `request_id` and `deadline`.
        function: What the context object tells of the function.

    Returns:
        The result, as JSON text, or the error.
    """
    context = SimpleNamespace(
        **function,
        aws_request_id=request["request_id"],
        identity=None,
        client_context=None,
        get_remaining_time_in_millis=lambda: max(0, int((request["deadline"] - time.time()) * 1000)),
    )
    try:
        result = handler(json.loads(request["event"]), context)
    except Exception as error:  # noqa: BLE001 - whatever the handler raises is the outcome
        return _described(type(error).__name__, str(error), error.__traceback__, request_id=request["request_id"])
    try:
        return {"result": json.dumps(result)}
    except (TypeError, ValueError) as error:
        message = f"Unable to marshal response: {error}"
        return _described("Runtime.MarshalError", message, None, request_id=request["request_id"])


def _described(
    error_type: str, message: str, frames: TracebackType | None, request_id: str | None = None
) -> dict[str, Any]:
    """The error as the client gets it, also written to the log; without this file's own frames."""
    stack = [frame for frame in traceback.extract_tb(frames) if frame.filename not in (__file__, importlib.__file__)]
    lines = traceback.format_list([frame for frame in stack if not frame.filename.startswith("<frozen importlib")])
    print(f"[ERROR] {error_type}: {message}\n{''.join(lines)}", end="")
    identified = {} if request_id is None else {"requestId": request_id}
    return {"error": {"errorMessage": message, "errorType": error_type, **identified, "stackTrace": lines}}


if __name__ == "__main__":
    main()
