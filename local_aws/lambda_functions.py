"""Lambda functions that really run: each Invoke on moto's Lambda goes to a warm process with the function's own code.

What is as on AWS: the code comes from the function's zip; it can import that, the standard library and boto3, and
nothing else; its environment holds the function's variables and what the runtime sets, and nothing of this process's;
an environment answers one event at a time, is used again, and is given up after an exception outside of the handler, a
timeout or its end; errors have the form that Lambda gives them; standard output and error go to the function's log
group with its role, soon after they are written, to a stream for each environment. They are in a file of the work
folder, too.

What is not: code runs on this Python, so other runtimes, container images and layers are refused; memory, ephemeral
storage and reserved concurrency limit nothing; a function has at most MAX_ENVIRONMENTS environments and further events
wait; an asynchronous invocation that fails is logged and not repeated; there is no X-Ray.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, Final, NamedTuple

from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda.models import LambdaFunction, lambda_backends
from moto.utilities.arns import parse_arn

from local_aws.environment import client_environment
from local_aws.iam import enforcement
from local_aws.iam.principals import Credentials
from local_aws.log_streams import FollowedLog, LogStream
from local_aws.patching import JsonValue, MotoObject, replace

_LOG: Final = logging.getLogger(__name__)

RUNTIME: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
"""The one runtime that functions can have: this Python."""

MAX_ENVIRONMENTS: Final = 4
"""Events that one function works on at a time."""

MAX_PAYLOAD_BYTES: Final = 6 * 1024 * 1024
"""https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, synchronous, each way."""

_INIT_SECONDS: Final = 60.0
"""How long importing a handler may take. Lambda gives 10 seconds; a laptop that runs Spark jobs is slower."""

_LOG_TAIL_BYTES: Final = 4096
_LOG_SECONDS: Final = 0.5
"""How often the streams get what functions have written."""

# boto3 with everything that it needs: what AWS's Python runtimes bring beside the standard library.
_RUNTIME_PACKAGES: Final = ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil", "six")


@dataclass(frozen=True)
class Invocation:
    """What came of an event.

    Attributes:
        payload: The handler's result or the error, as JSON text.
        failed: Whether it is an error.
        timed_out: Whether that error is that the function took longer than its timeout.
        log_tail: The last 4 KiB that the function wrote to its log meanwhile.
    """

    payload: str
    failed: bool = False
    timed_out: bool = False
    log_tail: bytes = b""


class LambdaFunctions:
    """Runs the functions of moto's Lambda backend in child processes; none is started before the first event.

    Every child leads a process group of its own and holds one end of a socket whose other end only this process has:
    when this process is gone, even by SIGKILL, they kill their groups themselves.

    Args:
        work_dir: gets `logs/lambda/<function>/<environment>.log` and, in `lambda/`, the unpacked code.
        endpoint_url: endpoint of the embedded AWS, for the children.
        region: the region that the children see.
    """

    def __init__(self, work_dir: Path, endpoint_url: str, *, region: str = "us-east-1") -> None:
        self._work_dir = work_dir.absolute()
        self._endpoint_url = endpoint_url
        self._region = region
        self._changed = threading.Condition()
        self._environments: list[_Environment] = []
        self._followed: list[_Environment] = []
        self._follower: threading.Thread | None = None
        self._are_all_ended = threading.Event()
        self._starting: list[str] = []
        self._later: set[threading.Thread] = set()
        self._closed = False
        # A child that is only forked would keep the ends of all sockets; one that is executed has none (PEP 446).
        os.register_at_fork(after_in_child=self._hang_up)

    def install(self) -> None:
        """Make this object run the functions of moto in this process, in the place of one installed before."""
        global _active
        _active = self
        _patch_moto()

    def close(self) -> None:
        """Kill every environment, and give moto its own behaviour back."""
        global _active
        if _active is self:
            _active = None
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            environments = list(self._environments)
        for environment in environments:
            environment.kill()
        for thread in tuple(self._later):
            thread.join()
        self._are_all_ended.set()
        if self._follower:
            self._follower.join()

    def _hang_up(self) -> None:
        for environment in self._environments:
            environment.hang_up()

    def invoke(self, function: MotoObject, event: str) -> Invocation:
        """Let a function answer an event.

        Args:
            function: moto's function.
            event: JSON text.

        Raises:
            LambdaClientError: The event is no JSON or too large, or the embedded AWS is being closed.
        """
        _check_event(event)
        version = _Version.of(function)
        environment = self._take(version, function)
        if isinstance(environment, Invocation):
            return environment
        try:
            return environment.invoke(event)
        finally:
            self._give_back(environment)

    def invoke_later(self, function: MotoObject, event: str) -> None:
        """Let a function work on an event, without waiting for it; a failure is logged.

        Raises:
            LambdaClientError: The event is no JSON or too large.
        """
        _check_event(event)

        def work() -> None:
            try:
                invocation = self.invoke(function, event)
                if invocation.failed:
                    _LOG.warning("function %s failed on an event: %s", function.function_name, invocation.payload)
            except LambdaClientError as error:
                _LOG.warning("function %s got no event: %s", function.function_name, error.message)
            finally:
                self._later.discard(threading.current_thread())

        thread = threading.Thread(target=work, name=f"lambda {function.function_name}")
        self._later.add(thread)
        thread.start()

    def _take(self, version: _Version, function: MotoObject) -> _Environment | Invocation:
        """Return an idle environment of the function, or a new one, or why that did not start; waits for its turn."""
        with self._changed:
            while not self._closed:
                of_function = [known for known in self._environments if known.version.arn == version.arn]
                idle = [known for known in of_function if not known.busy]
                for outdated in [known for known in idle if known.version != version]:
                    self._drop(outdated)
                for current in [known for known in idle if known.version == version]:
                    current.busy = True
                    return current
                if len(of_function) + self._starting.count(version.arn) < MAX_ENVIRONMENTS:
                    self._starting.append(version.arn)
                    break
                self._changed.wait()
            else:
                raise _shutting_down()
        return self._start(version, function)

    def _start(self, version: _Version, function: MotoObject) -> _Environment | Invocation:
        environment = None
        try:
            environment = _Environment(version, self._prepare(version, function), self._work_dir)
        finally:
            with self._changed:
                self._starting.remove(version.arn)
                self._changed.notify_all()
                if environment is not None:
                    self._environments.append(environment)
                    self._follow_log_of(environment)
                    if self._closed:
                        self._drop(environment)
        failure = environment.wait_until_ready()
        if failure is None:
            return environment
        self._give_back(environment)
        return failure

    def _give_back(self, environment: _Environment) -> None:
        with self._changed:
            environment.busy = False
            if not environment.usable:
                self._drop(environment)
            self._changed.notify_all()

    def _drop(self, environment: _Environment) -> None:
        environment.kill()
        if environment in self._environments:
            self._environments.remove(environment)

    def _follow_log_of(self, environment: _Environment) -> None:
        self._followed.append(environment)
        if self._follower is None:
            self._follower = threading.Thread(target=self._follow_logs, name="lambda logs")
            self._follower.start()

    def _follow_logs(self) -> None:
        """Put what environments write into their streams, until none can write any more."""
        is_last = False
        while not is_last:
            is_last = self._are_all_ended.wait(_LOG_SECONDS)
            with self._changed:
                ended = [one for one in self._followed if is_last or one.has_ended]
                self._followed = [one for one in self._followed if one not in ended]
                others = list(self._followed)
            for environment in ended:
                environment.log.finish()
            for environment in others:
                environment.log.follow()

    def _prepare(self, version: _Version, function: MotoObject) -> _Launch:
        """Unpack the code where it is not yet, and say how to start an environment of it."""
        folder = self._work_dir / "lambda"
        code = folder / "code" / version.code_digest
        with self._changed:
            _unpack(function.code_bytes, code)
            runtime = _runtime_folder(folder / "runtime")
        environment_id = uuid.uuid4().hex
        log = self._work_dir / "logs" / "lambda" / function.function_name / f"{environment_id}.log"
        log_names = {
            "log_group_name": function.logs_group_name,
            "log_stream_name": f"{time.strftime('%Y/%m/%d', time.gmtime())}/[{function.version}]{environment_id}",
        }
        credentials = _credentials(function)
        variables = _runtime_variables(function, code, log_names) | {
            **version.variables(),
            **client_environment(self._endpoint_url, self._region, credentials),
        }
        stream = LogStream(
            self._endpoint_url,
            self._region,
            credentials,
            group=log_names["log_group_name"],
            name=log_names["log_stream_name"],
        )
        return _Launch(
            handler=function.handler,
            timeout=float(function.timeout),
            import_path=[str(code), str(runtime)],
            code=code,
            settings_file=folder / f"{environment_id}.json",
            log=log,
            stream=stream,
            variables=variables,
            context={
                "function_name": function.function_name,
                "function_version": str(function.version),
                "invoked_function_arn": function.function_arn,
                "memory_limit_in_mb": str(function.memory_size),
                **log_names,
            },
        )


class _Version(NamedTuple):
    """What an environment was made of; another one needs another environment."""

    arn: str
    code_digest: str
    handler: str
    timeout: int
    environment: str

    @classmethod
    def of(cls, function: MotoObject) -> _Version:
        digest = base64.b64decode(function.code_sha_256).hex()
        environment = json.dumps(function.environment_vars, sort_keys=True)
        return cls(function.function_arn, digest, function.handler, function.timeout, environment)

    def variables(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.environment)
        return found


@dataclass(frozen=True)
class _Launch:
    handler: str
    timeout: float
    import_path: list[str]
    code: Path
    settings_file: Path
    log: Path
    stream: LogStream
    variables: Mapping[str, str]
    context: Mapping[str, str]


class _Environment:
    """A process with one imported handler.

    Attributes:
        version: What it was made of.
        busy: Whether it works on an event, or is being started for one.
        usable: Whether it can take another event.
        log: What it writes.
    """

    def __init__(self, version: _Version, launch: _Launch, work_dir: Path) -> None:
        self.version: Final = version
        self.busy = True
        self.usable = True
        self._killed = False
        self._launch: Final = launch
        self._connection, theirs = Pipe()
        launch.log.parent.mkdir(parents=True, exist_ok=True)
        launch.log.touch()
        self.log: Final = FollowedLog(launch.log, launch.stream)
        settings = {
            "connection": theirs.fileno(),
            "handler": launch.handler,
            "import_path": launch.import_path,
            "context": launch.context,
        }
        launch.settings_file.write_text(json.dumps(settings), encoding="utf-8")
        child = Path(__file__).with_name("lambda_child.py")
        with launch.log.open("ab") as output, theirs:
            self._process = subprocess.Popen(
                # -I and -S: neither this process's import paths nor the packages that are installed here.
                [sys.executable, "-I", "-S", "-u", "-X", "utf8", str(child), str(launch.settings_file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=launch.code,
                env=dict(launch.variables),
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
            )

    def wait_until_ready(self) -> Invocation | None:
        """Wait until the handler is imported; return the error if it is not."""
        try:
            if not self._connection.poll(_INIT_SECONDS):
                return self._failure("Sandbox.Timedout", f"the handler was not imported within {_INIT_SECONDS:.0f} s")
            message = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            return self._ended()
        finally:
            self._launch.settings_file.unlink(missing_ok=True)
        if message is None:
            return None
        self.usable = False
        return Invocation(json.dumps(message["error"]), failed=True, log_tail=self._log_tail(0))

    def invoke(self, event: str) -> Invocation:
        """Let the handler answer an event."""
        request_id = str(uuid.uuid4())
        log_start = self._launch.log.stat().st_size
        request = {"event": event, "request_id": request_id, "deadline": time.time() + self._launch.timeout}
        try:
            self._connection.send_bytes(json.dumps(request).encode())
            if not self._connection.poll(self._launch.timeout):
                message = f"Error: Task timed out after {self._launch.timeout:.2f} seconds"
                return self._failure("Sandbox.Timedout", message, request_id, log_start)
            answer = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            return self._ended(request_id, log_start)
        tail = self._log_tail(log_start)
        if "error" in answer:
            return Invocation(json.dumps(answer["error"]), failed=True, log_tail=tail)
        if len(answer["result"].encode()) > MAX_PAYLOAD_BYTES:
            message = f"Response payload size exceeded maximum allowed payload size ({MAX_PAYLOAD_BYTES} bytes)."
            error = {"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge"}
            return Invocation(json.dumps(error), failed=True, log_tail=tail)
        return Invocation(answer["result"], log_tail=tail)

    def _ended(self, request_id: str = "", log_start: int = 0) -> Invocation:
        status = self._process.wait()
        if status == 0:
            how = "Runtime exited without providing a reason"
        elif status < 0:
            how = f"Runtime exited with error: signal: {str(signal.strsignal(-status)).lower()}"
        else:
            how = f"Runtime exited with error: exit status {status}"
        return self._failure("Runtime.ExitError", f"Error: {how}", request_id, log_start)

    def _failure(self, error_type: str, message: str, request_id: str = "", log_start: int = 0) -> Invocation:
        """Give the environment up, and tell why as Lambda's service does it."""
        self.kill()
        text = f"RequestId: {request_id or uuid.uuid4()} {message}"
        error = {"errorType": error_type, "errorMessage": text}
        timed_out = error_type == "Sandbox.Timedout"
        return Invocation(json.dumps(error), failed=True, timed_out=timed_out, log_tail=self._log_tail(log_start))

    def _log_tail(self, start: int) -> bytes:
        with self._launch.log.open("rb") as log:
            log.seek(max(start, self._launch.log.stat().st_size - _LOG_TAIL_BYTES))
            return log.read()

    def kill(self) -> None:
        """End the process and everything that it has started."""
        self.usable = False
        if self._killed:
            return  # its number may be another process's by now
        self._killed = True
        # macOS answers EPERM for a group of which only zombies are left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def has_ended(self) -> bool:
        """Whether the process writes nothing more."""
        return self._process.poll() is not None

    def hang_up(self) -> None:
        """Close this end of the socket."""
        self._connection.close()


def find_function(arn: str) -> MotoObject:
    """Return moto's function of an ARN, with or without a version or an alias.

    Raises:
        UnknownFunctionException: There is none.
    """
    parts = parse_arn(arn)
    return lambda_backends[parts.account][parts.region].get_function(arn)


def active() -> LambdaFunctions:
    """Return what runs the functions of this process.

    Raises:
        LambdaClientError: Nothing does (any more).
    """
    if _active is None:
        raise _shutting_down()
    return _active


_active: LambdaFunctions | None = None


def _shutting_down() -> LambdaClientError:
    return LambdaClientError("ServiceException", "The embedded AWS is shutting down.")


def _credentials(function: MotoObject) -> Credentials:
    """What the function's code asks with: its role.

    Raises:
        LambdaClientError: Lambda may not assume the role.
    """
    try:
        return enforcement.assume(
            function.role,
            service="lambda.amazonaws.com",
            source_arn=function.function_arn,
            session=function.function_name,
        )
    except enforcement.AccessDeniedError as error:
        raise LambdaClientError("AccessDeniedException", str(error)) from error


def _check_event(event: str) -> None:
    if len(event.encode()) > MAX_PAYLOAD_BYTES:
        raise LambdaClientError("RequestTooLargeException", f"The event is over {MAX_PAYLOAD_BYTES} bytes.")
    try:
        json.loads(event)
    except ValueError as error:
        message = f"Could not parse request body into json: {error}"
        raise LambdaClientError("InvalidRequestContentException", message) from error


def _unpack(code: bytes, folder: Path) -> None:
    if folder.exists():
        return
    draft = folder.with_suffix(".draft")
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        archive.extractall(draft)
    draft.rename(folder)


def _runtime_folder(folder: Path) -> Path:
    """A folder with links to what the runtime brings, so that nothing else that is installed here can be imported."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in _RUNTIME_PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"No module named {package!r}: boto3 is not installed completely.")
        origin = Path(spec.origin)
        source = origin.parent if spec.submodule_search_locations else origin
        link = folder / source.name
        if not link.exists():
            link.symlink_to(source)
    return folder


def _runtime_variables(function: MotoObject, code: Path, log_names: Mapping[str, str]) -> dict[str, str]:
    """https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html, and what this Python needs to start."""
    needed = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
    return needed | {
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.run_time}",
        "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": str(function.version),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": log_names["log_group_name"],
        "AWS_LAMBDA_LOG_STREAM_NAME": log_names["log_stream_name"],
        "LAMBDA_TASK_ROOT": str(code),
        "LANG": "en_US.UTF-8",
        "TZ": "UTC",
        "_HANDLER": function.handler,
    }


def _patch_moto() -> None:
    """Give moto's Lambda what it lacks without Docker (tests/local/test_moto_canaries_lambda.py)."""
    if LambdaFunction.invoke is _invoke:
        return
    global _moto_invoke
    _moto_invoke = replace(LambdaFunction, "invoke", _invoke)


_moto_invoke: Callable[..., str | bytes]


def _invoke(
    self: LambdaFunction, body: str | bytes, request_headers: Mapping[str, JsonValue], response_headers: dict[str, Any]
) -> str | bytes:
    if _active is None:
        return _moto_invoke(self, body, request_headers, response_headers)
    event = (body.decode() if isinstance(body, bytes) else body) or "{}"
    response_headers["x-amz-executed-version"] = str(self.version)
    match request_headers.get("X-Amz-Invocation-Type", "RequestResponse"):
        case "DryRun":
            return b""
        case "Event":
            _active.invoke_later(self, event)
            return b""
    invocation = _active.invoke(self, event)
    if invocation.failed:
        response_headers["x-amz-function-error"] = "Unhandled"
    response_headers["x-amz-log-result"] = base64.b64encode(invocation.log_tail).decode()
    return invocation.payload.encode()
