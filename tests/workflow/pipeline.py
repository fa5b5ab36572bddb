"""The deployed pipeline as a test drives it: files in, Glue jobs that do what the test says, and everything it left."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from glue_scripts import names
from glue_scripts.accepted_files import AcceptedFile, AcceptedFiles
from glue_scripts.ledger import FileStatus, Ledger, file_key
from glue_scripts.objects import Location, has_long_target, target_key
from tests.local.workflow_server import ScriptedGlue
from tests.workflow.faults import Faults

DEADLINE_SECONDS: Final = 60.0
REPORT: Final = b'{"verdict": "rejected"}'
_numbers: Final = itertools.count(1)


def wait_for(condition: Callable[[], Any], what: str) -> Any:  # noqa: ANN401
    """Return what a condition gives once it is true."""
    begun = time.monotonic()
    while not (value := condition()):
        waited = time.monotonic() - begun
        assert waited < DEADLINE_SECONDS, f"{what} did not come within {DEADLINE_SECONDS:.0f} s"
        time.sleep(0.02 + waited / 10)  # frequent polling would slow down what it waits for
    return value


def session_of(environment: Mapping[str, str]) -> Any:  # noqa: ANN401
    """Return a session with the keys and the region of a client's environment."""
    keys = (environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
    return boto3.session.Session(*keys, region_name=environment["AWS_REGION"])


def client(environment: Mapping[str, str], service: str) -> Any:  # noqa: ANN401
    """Return the client of a service; making one takes longer than most tests."""
    return _client(tuple(environment.items()), service)


@cache
def _client(environment: tuple[tuple[str, str], ...], service: str) -> Any:  # noqa: ANN401
    variables = dict(environment)
    config = Config(retries={"total_max_attempts": 1})
    return session_of(variables).client(service, endpoint_url=variables["AWS_ENDPOINT_URL"], config=config)


def table_of(environment: Mapping[str, str], name: str) -> Any:  # noqa: ANN401
    """Return the resource of a table."""
    return _tables(tuple(environment.items())).Table(name)


@cache
def _tables(environment: tuple[tuple[str, str], ...]) -> Any:  # noqa: ANN401
    variables = dict(environment)
    return session_of(variables).resource("dynamodb", endpoint_url=variables["AWS_ENDPOINT_URL"])


@dataclass(frozen=True)
class File:
    """One uploaded version.

    Attributes:
        key: object key.
        version_id: object version.
        content: its bytes.
        event: the `detail` of its event, as the pipe delivers it.
    """

    key: str
    version_id: str
    content: bytes
    event: Mapping[str, Any]

    @property
    def archive_key(self) -> str:
        """Where it lies once it has been processed."""
        return target_key(names.ARCHIVE_PREFIX, self.key, self.version_id)

    @property
    def error_key(self) -> str:
        """Where it lies once it has been rejected."""
        return target_key(names.ERROR_PREFIX, self.key, self.version_id)


def of_size(file: File, size: object) -> File:
    """The file as its event would tell it with this size; None: the event tells none. The object stays small."""
    described = {name: value for name, value in file.event["object"].items() if name != "size"}
    described |= {} if size is None else {"size": size}
    return replace(file, event={**file.event, "object": described})


def _plain_email(rejected: list[dict[str, Any]], execution_arn: str) -> dict[str, str]:
    subject = f"[dev] Music KPI pipeline: {len(rejected)} file(s) rejected"
    return {"subject": subject, "message": f'line "one"\nline \\two {{% $no %}}\nExecution: {execution_arn}'}


class ScriptedJobs:
    """What the two Glue jobs leave behind, without Spark: ledger items, reports, `verdict.json`, `accepted.json`.

    A file whose name begins with `bad` is rejected.

    Args:
        s3: client.
        bucket: the data bucket.
        ledger: the ledger.

    Attributes:
        change_verdict: changes the text of a verdict before it is written; None: it is not written.
        compose_email: subject and message about rejected files, given each one's entries in manifest and verdict, and
            the execution.
    """

    def __init__(self, s3: Any, bucket: str, ledger: Ledger) -> None:  # noqa: ANN401
        self._s3, self._bucket, self._ledger = s3, bucket, ledger
        self.change_verdict: Callable[[dict[str, Any]], object] = lambda verdict: verdict
        self.compose_email: Callable[[list[dict[str, Any]], str], dict[str, str]] = _plain_email

    def validate(self, arguments: Mapping[str, str]) -> str:
        """Judge every file of a manifest."""
        manifest_key = arguments["--manifest_uri"].removeprefix(f"s3://{self._bucket}/")
        manifest = self._read(manifest_key)
        verdict: dict[str, Any] = {"format": names.VERDICT_FORMAT, "accepted": [], "rejected": [], "skipped": []}
        folder = manifest_key.removesuffix(names.MANIFEST_NAME)
        for number, entry in enumerate(manifest["files"]):
            kind, judged = self._judge(entry, manifest["execution_arn"])
            verdict[kind].append({"file": number, **judged})
        rejected = [{**manifest["files"][entry["file"]], **entry} for entry in verdict["rejected"]]
        if rejected:
            email = self.compose_email(rejected, manifest["execution_arn"])
            self._write(folder + names.REJECTION_EMAIL_NAME, json.dumps(email).encode())
        accepted = [_accepted_file(manifest["files"][entry["file"]]) for entry in verdict["accepted"]]
        document = AcceptedFiles(execution_arn=manifest["execution_arn"], files=accepted)
        document.write(self._s3, Location(self._bucket, folder + names.ACCEPTED_NAME))
        changed = self.change_verdict(verdict)
        if changed is not None:
            body = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
            self._write(folder + names.VERDICT_NAME, body)
        return "SUCCEEDED"

    def compute(self, arguments: Mapping[str, str]) -> str:
        """Note the accepted files as loaded."""
        accepted = self._read(arguments["--accepted_uri"].removeprefix(f"s3://{self._bucket}/"))
        for entry in accepted["files"]:
            self._ledger.advance_file(entry["key"], entry["version_id"], FileStatus.LOADED, {"plays": 1})
        return "SUCCEEDED"

    def _judge(self, entry: Mapping[str, Any], execution_arn: str) -> tuple[str, dict[str, Any]]:
        key, version_id = entry["key"], entry["version_id"]
        status = self._ledger.file_status_and_execution(key, version_id)[0]
        refused = entry.get("refused")
        if status is FileStatus.ARCHIVED or (refused == "object_missing" and status is not None):
            return "skipped", {"reason": f"already {status}"}
        self._ledger.receive_file(key, version_id, {"execution": execution_arn})
        if not refused and not key.rpartition("/")[2].startswith("bad"):
            self._ledger.advance_file(key, version_id, FileStatus.ACCEPTED, {"rows": 1})
            return "accepted", {"long_key": has_long_target(names.ARCHIVE_PREFIX, key, version_id)}
        self._ledger.advance_file(key, version_id, FileStatus.REJECTED, {"rows": 1})
        report_key = f"{names.QUALITY_PREFIX}reports/{version_id[:200]}.json"
        self._write(report_key, REPORT)
        long_key = has_long_target(names.ERROR_PREFIX, key, version_id)
        reasons = [refused] if refused else ["bad_timestamp", "null_key"]
        copy = "none" if refused else "staged"
        return "rejected", {"long_key": long_key, "copy": copy, "report_key": report_key, "reasons": reasons}

    def _read(self, key: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read())
        return document

    def _write(self, key: str, body: bytes) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=body)


def _accepted_file(entry: Mapping[str, Any]) -> AcceptedFile:
    return AcceptedFile(
        key=entry["key"],
        version_id=entry["version_id"],
        dataset=entry["key"].split("/")[1],
        uploaded_at=entry["last_modified"],
    )


class Pipeline:
    """The deployed stacks, as one test uses them; its files lie in a folder of its own.

    Args:
        outputs: Output name to value, of both stacks.
        environment: Environment variables of a client.
        work_dir: Work folder of the embedded AWS.
        glue: Glue, whose jobs run as `jobs` says.
        faults: Faults of the test.
    """

    def __init__(
        self,
        outputs: Mapping[str, str],
        environment: Mapping[str, str],
        work_dir: Path,
        glue: ScriptedGlue,
        faults: Faults,
    ) -> None:
        self._emails_file = work_dir / "emails" / "emails.jsonl"
        self.folder = f"raw/streams/{next(_numbers)}/"
        self.bucket = outputs["DataBucketName"]
        self.machine = outputs["StateMachineArn"]
        self.notifier = outputs["NotifierStateMachineArn"]
        self.validate_job = outputs["ValidateBatchJobName"]
        self.compute_job = outputs["ComputeKpisJobName"]
        self.glue, self.faults = glue, faults
        self.environment = environment
        self.s3, self.sfn = client(environment, "s3"), client(environment, "stepfunctions")
        self.ledger = table_of(environment, outputs["LedgerTableName"])
        self.kpis = table_of(environment, outputs["KpisTableName"])
        self.jobs = ScriptedJobs(self.s3, self.bucket, Ledger(self.ledger))
        glue.outcomes = {self.validate_job: self.jobs.validate, self.compute_job: self.jobs.compute}

    # Files and executions

    def upload(self, name: str, content: bytes = b"user_id,track_id,listen_time\n") -> File:
        """Put a file into the test's folder in raw/."""
        return self.upload_as(self.folder + name, content)

    def upload_as(self, key: str, content: bytes, **properties: Any) -> File:  # noqa: ANN401
        """Put a file under any key, with further parameters of PutObject."""
        answer = self.s3.put_object(Bucket=self.bucket, Key=key, Body=content, **properties)
        described = {"key": key, "size": len(content), "etag": answer["ETag"].strip('"')}
        described |= {"sequencer": "0055AED6DCD90281E5"}
        described |= {"version-id": answer["VersionId"]} if "VersionId" in answer else {}
        event = {"version": "0", "bucket": {"name": self.bucket}, "object": described, "reason": "PutObject"}
        return File(key, answer.get("VersionId", "null"), content, event)

    def delete(self, file: File) -> None:
        """Delete a version for good."""
        self.s3.delete_object(Bucket=self.bucket, Key=file.key, VersionId=file.version_id)

    def start(self, files: Sequence[File], name: str | None = None) -> str:
        """Start an execution of a batch and return its ARN."""
        given = {"name": name} if name else {}
        batch = json.dumps([file.event for file in files])
        return str(self.sfn.start_execution(stateMachineArn=self.machine, input=batch, **given)["executionArn"])

    def ended(self, arn: str) -> dict[str, Any]:
        """Wait until an execution has ended, and return its description; the output is read."""

        def description() -> dict[str, Any] | None:
            found: dict[str, Any] = self.sfn.describe_execution(executionArn=arn)
            return None if found["status"] == "RUNNING" else found

        found: dict[str, Any] = wait_for(description, f"the end of {arn}")
        if "output" in found:
            found["output"] = json.loads(found["output"])
        return found

    def run(self, files: Sequence[File], name: str | None = None) -> dict[str, Any]:
        """Process a batch, and return the description of its execution."""
        return self.ended(self.start(files, name))

    def parts(self, ended: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Wait for the executions that a divided batch has started, and return their descriptions."""
        return [self.ended(part["execution_arn"]) for part in ended["output"]["parts"]]

    def redrive(self, arn: str) -> dict[str, Any]:
        """Resume an execution, wait for its end and return its description."""
        self.sfn.redrive_execution(executionArn=arn)
        return self.ended(arn)

    @contextmanager
    def definition(self, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
        """Change the deployed definition for a while, where a test cannot wait for a timeout of hours."""
        deployed = self.sfn.describe_state_machine(stateMachineArn=self.machine)["definition"]
        changed = json.loads(deployed)
        change(changed)
        self.sfn.update_state_machine(stateMachineArn=self.machine, definition=json.dumps(changed))
        try:
            yield
        finally:
            self.sfn.update_state_machine(stateMachineArn=self.machine, definition=deployed)

    # What an execution left

    def history(self, arn: str) -> list[dict[str, Any]]:
        """Return every event of an execution's history."""
        pages = self.sfn.get_paginator("get_execution_history").paginate(executionArn=arn)
        return [event for page in pages for event in page["events"]]

    def states(self, arn: str) -> list[str]:
        """Return the names of the states of an execution in the order in which they were entered."""
        details = [event.get("stateEnteredEventDetails") for event in self.history(arn)]
        return [detail["name"] for detail in details if detail]

    def states_after_redrive(self, arn: str) -> list[str]:
        """Return the names of the states that were entered since the last redrive."""
        history = self.history(arn)
        (*_, redriven) = [at for at, event in enumerate(history) if event["type"] == "ExecutionRedriven"]
        details = [event.get("stateEnteredEventDetails") for event in history[redriven:]]
        return [detail["name"] for detail in details if detail]

    def jobs_run(self) -> list[str]:
        """Return the names of the jobs that were started in this test, in order."""
        return [run["JobName"] for run in self.glue.runs.values()]

    def objects(self, prefix: str) -> dict[str, list[bytes]]:
        """Return the versions of every object under a prefix, the latest first; a delete marker is an empty list's end.

        Raises:
            AssertionError: There is a delete marker: nothing here deletes without a version id.
        """
        answer = self.s3.list_object_versions(Bucket=self.bucket, Prefix=prefix)
        assert not answer["IsTruncated"]
        assert "DeleteMarkers" not in answer, answer["DeleteMarkers"]
        found: dict[str, list[bytes]] = {}
        for version in answer.get("Versions", []):
            given = {"Bucket": self.bucket, "Key": version["Key"], "VersionId": version["VersionId"]}
            found.setdefault(version["Key"], []).append(self.s3.get_object(**given)["Body"].read())
        return found

    def moved(self) -> dict[str, list[bytes]]:
        """Return this test's objects in archive/ and error/."""
        return self.objects(names.ARCHIVE_PREFIX + self.folder) | self.objects(names.ERROR_PREFIX + self.folder)

    def is_in_raw(self, file: File) -> bool:
        """Tell whether this very version is still in raw/."""
        try:
            # Not HEAD, which is refused for some objects, and which tests make fail.
            self.s3.get_object_acl(Bucket=self.bucket, Key=file.key, VersionId=file.version_id)
        except self.s3.exceptions.InvalidObjectState:
            return True  # archived, for which moto refuses this, too
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            return False
        return True

    def status(self, file: File) -> str | None:
        """Return how far a file has come in the ledger."""
        item = self.ledger.get_item(Key=file_key(file.key, file.version_id), ConsistentRead=True).get("Item")
        return item["status"] if item else None

    def emails(self, arn: str) -> list[dict[str, str]]:
        """Return the e-mails about an execution."""
        lines = self._emails_file.read_text().splitlines() if self._emails_file.exists() else []
        return [email for email in map(json.loads, lines) if arn in email["message"]]

    def rejection_emails(self, arn: str) -> list[dict[str, str]]:
        """Return the e-mails of the pipeline itself about an execution."""
        return [email for email in self.emails(arn) if "rejected" in email["subject"]]

    def failure_emails(self, arn: str) -> list[dict[str, str]]:
        """Wait until the notifier has finished with an execution that did not succeed, and return its e-mails."""

        def told() -> bool:
            return any("somebody must look" in email["subject"] for email in self.emails(arn))

        wait_for(told, f"the e-mail about {arn}")
        wait_for(lambda: not self.notifications("RUNNING"), "the end of the notifier")
        return [email for email in self.emails(arn) if "somebody must look" in email["subject"]]

    def running(self) -> list[str]:
        """Return the ARNs of the pipeline's executions that are under way."""
        pages = self.sfn.get_paginator("list_executions").paginate(stateMachineArn=self.machine, statusFilter="RUNNING")
        return [execution["executionArn"] for page in pages for execution in page["executions"]]

    def notifications(self, status: str | None = None) -> list[str]:
        """Return the ARNs of the notifier's executions, of all tests of this folder."""
        given = {"statusFilter": status} if status else {}
        pages = self.sfn.get_paginator("list_executions").paginate(stateMachineArn=self.notifier, **given)
        return [execution["executionArn"] for page in pages for execution in page["executions"]]
