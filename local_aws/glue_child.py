"""The process of one job run: starts the JVM, then runs the script as `__main__`, as Glue's own driver does.

Run as a file (`python glue_child.py request.json`), with the standard library only, so that nothing of this package is
importable for the script. The request is a JSON object:

    script            path of the script
    arguments         its arguments, sys.argv[1:]
    gateway_command   command of the JVM that Spark runs in, or null
    wait_for_gateway  whether to wait until that JVM has ended by itself
    error_file        gets the exception that ended the script, as one text
    lifeline          a file descriptor to read from: when its other end is closed, because the process that started
                      the run is gone, however it died, this process group is killed; or null
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

ERROR_LIMIT = 2000
"""Characters of an exception that are kept: the rest is in the log."""


def main() -> None:
    """Runs one request; the process's exit status is the script's."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if request["lifeline"] is not None:
        _die_with_parent(request["lifeline"])
    gateway = _Gateway(request["gateway_command"]) if request["gateway_command"] else None
    status = _run_script(request["script"], request["arguments"], Path(request["error_file"]))
    if gateway and request["wait_for_gateway"]:
        gateway.finish()
    sys.exit(status)


def _die_with_parent(lifeline: int) -> None:
    """Kills this process group, the JVM included, as soon as the parent is gone.

    A pipe's end works on Linux and macOS alike and after SIGKILL too; PR_SET_PDEATHSIG is Linux only.
    """
    os.set_inheritable(lifeline, False)

    def watch() -> None:
        while os.read(lifeline, 1):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


class _Gateway:
    """The JVM of a Spark job, started while the script still imports its modules."""

    def __init__(self, command: list[str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="gateway-"))
        self._info = self._folder / "connection"
        environ = {**os.environ, "_PYSPARK_DRIVER_CONN_INFO_PATH": str(self._info)}
        # The JVM ends when its standard input does: that pipe is open as long as this process lives.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environ)
        self._connect_pyspark()

    def _connect_pyspark(self) -> None:
        # pyspark.context holds the name that SparkContext calls. It finds a running JVM by two variables, which are
        # known only once the JVM has started: nobody waits for that before the script asks for Spark.
        context = importlib.import_module("pyspark.context")
        launch = context.launch_gateway

        def launch_gateway(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - pyspark's own signature
            port, secret = self._connection()
            os.environ["PYSPARK_GATEWAY_PORT"] = str(port)
            os.environ["PYSPARK_GATEWAY_SECRET"] = secret
            return launch(*args, **kwargs)

        context.launch_gateway = launch_gateway  # type: ignore[attr-defined]

    def _connection(self) -> tuple[int, str]:
        """Port and secret, in the format that PythonGatewayServer writes: int, length, UTF-8 text."""
        while not self._info.exists():
            if self._process.poll() is not None:
                raise RuntimeError(f"Spark's JVM ended with status {self._process.returncode}: see the log above.")
            time.sleep(0.01)
        content = self._info.read_bytes()
        return int.from_bytes(content[:4], "big"), content[8:].decode("utf-8")

    def finish(self) -> None:
        """Ends the JVM and waits until its exit hooks are done."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _run_script(script: str, arguments: list[str], error_file: Path) -> int:
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent)
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as exit_:
        if exit_.code in (None, 0):
            return 0
        error_file.write_text(f"SystemExit: {exit_.code}", encoding="utf-8")
        if isinstance(exit_.code, int):
            return exit_.code
        print(exit_.code, file=sys.stderr)
        return 1
    except BaseException as error:  # noqa: BLE001 - whatever ended the script is the run's outcome
        traceback.print_exception(type(error), error, _frames_of(script, error.__traceback__))
        error_file.write_text(describe(error), encoding="utf-8")
        return 1
    return 0


def _frames_of(script: str, frames: TracebackType | None) -> TracebackType | None:
    """The traceback from the script's first frame on; all of it where the script has none (a syntax error)."""
    found = frames
    while found and found.tb_frame.f_code.co_filename != script:
        found = found.tb_next
    return found or frames


def describe(error: BaseException) -> str:
    """The last line of a traceback as Glue reports it: `ValueError: …`, without module names and Java's frames."""
    # Not str(error): a Py4JJavaError asks the JVM for its text and raises when that is gone.
    lines = traceback.format_exception_only(type(error), error)
    text = lines[-1] if isinstance(error, SyntaxError) else "".join(lines)
    text = text.removeprefix(f"{type(error).__module__}.")
    return text.split("\n\tat ")[0].strip()[:ERROR_LIMIT]


if __name__ == "__main__":
    main()
