"""Lambda functions for tests, on a server in this process."""

from __future__ import annotations

import io
import json
import textwrap
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local_aws.lambda_functions import RUNTIME, LambdaFunctions
from tests.local.workflow_server import REGION, WorkflowServer

MODULE: Final = "answers.py"


@dataclass(frozen=True)
class Answer:
    """What Invoke answers; `payload` is read."""

    payload: Any
    error: str | None
    status: int
    log: str


class Lambda:
    """The Lambda of a server.

    Attributes:
        work_dir: Where logs and code are.
    """

    def __init__(self, server: WorkflowServer, work_dir: Path) -> None:
        self.work_dir = work_dir
        self.client = server.client("lambda")
        self._role = server.client("iam").create_role(RoleName="function", AssumeRolePolicyDocument="{}")["Role"]["Arn"]

    def create(self, source: str, *, name: str = "answers", handler: str = "answers.handler", **settings: Any) -> str:  # noqa: ANN401
        """Create a function of one module and return its ARN."""
        answer = self.client.create_function(
            FunctionName=name,
            Runtime=RUNTIME,
            Role=self._role,
            Handler=handler,
            Code={"ZipFile": zip_of({MODULE: source})},
            **{"Timeout": 30, **settings},
        )
        return str(answer["FunctionArn"])

    def invoke(self, event: object = None, name: str = "answers", kind: str = "RequestResponse") -> Answer:
        answer = self.client.invoke(
            FunctionName=name, Payload=json.dumps(event).encode(), InvocationType=kind, LogType="Tail"
        )
        payload = answer["Payload"].read()
        return Answer(
            payload=json.loads(payload) if payload else None,
            error=answer.get("FunctionError"),
            status=answer["StatusCode"],
            log=answer.get("LogResult", ""),
        )

    def logs(self, name: str = "answers") -> list[str]:
        """What each environment of a function has written."""
        return [path.read_text() for path in sorted((self.work_dir / "logs" / "lambda" / name).glob("*.log"))]


def zip_of(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, source in files.items():
            archive.writestr(path, textwrap.dedent(source))
    return buffer.getvalue()


@contextmanager
def running_functions(server: WorkflowServer, work_dir: Path) -> Iterator[LambdaFunctions]:
    functions = LambdaFunctions(work_dir, server.endpoint_url, region=REGION)
    functions.install()
    try:
        yield functions
    finally:
        functions.close()
