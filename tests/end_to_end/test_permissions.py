"""What real jobs ask for is what tests/permissions knows of, and an e-mail says which grant a job lacks.

Long: `make trust` runs it, with `TRUST_GRANTS=1`; by default it only sees that the recording is of this format.
`TRUST_GRANTS=record` writes tests/permissions/requests_of_jobs.json anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from glue_scripts.ledger import Ledger
from glue_scripts.merging import MANY_RUNS
from glue_scripts.objects import json_line
from glue_scripts.stored_plays import RunOfDay
from local_aws.iam import enforcement
from local_aws.iam.usage import Use
from tests.end_to_end.conftest import Deployed
from tests.permissions.grants import JOBS, REQUESTS, Name, deployed_grants, removed, whose

MODE: Final = os.environ.get("TRUST_GRANTS", "")

USERS: Final = (
    b"user_id,user_name,user_age,user_country,created_at\nu1,Ann,30,Peru,2020-01-01\nu2,Bob,40,Chad,2020-01-01\n"
)
SONGS: Final = (
    b"track_id,track_name,artists,album_name,track_genre,duration_ms,popularity,explicit\n"
    b"t1,One,A,X,pop,1000,1,false\nt2,Two,B,X,jazz,2000,1,false\n"
)
# Of a track that no catalogue has: the day is computed anew when the next one comes.
STREAMS: Final = (
    b"user_id,track_id,listen_time\n"
    + b"".join(b"u1,t1,2025-03-01 10:%02d:00\nu2,t2,2025-03-01 11:%02d:00\n" % (minute, minute) for minute in range(60))
    + b"u1,unknown,2025-03-01 12:00:00\n,t1,2025-03-01 12:00:01\n"
)
REJECTED: Final = b"user_id,track_id\nu1,t1\n"
FIRST: Final = {
    "users/users.csv": USERS,
    "songs/songs.csv": SONGS,
    "streams/streams.csv": STREAMS,
    "streams/rejected.csv": REJECTED,
}
DAY: Final = "2025-03-01"
# The day loses the genre pop; the plays are judged by the catalogue of before.
SECOND: Final = {
    "songs/songs.csv": SONGS.replace(b",pop,", b",rock,"),
    "streams/again.csv": STREAMS,
}

LACKING: Final = (
    ("Pipeline/ValidateBatch", "dynamodb:UpdateItem", "table/ledger"),
    ("Pipeline/ValidateBatch", "s3:PutObject", "curated/*, quality/*, reference/*"),
    ("Pipeline/ComputeKpis", "dynamodb:PutItem", "table/kpis"),
)


def kinds(uses: Mapping[Use, int]) -> list[dict[str, Any]]:
    """One example of each kind of request that the jobs made, and Glue for them; not of their own code."""
    found = {json.dumps(entry, sort_keys=True): entry for use in uses for entry in _kind(use)}
    return [found[text] for text in sorted(found)]


def _kind(use: Use) -> Iterator[dict[str, Any]]:
    owner = use.resource if use.caller == "glue.amazonaws.com" else use.caller
    if ":role/" not in owner or "-assets-" in use.resource:
        return
    job = whose(f"{owner.rpartition('/')[2]}/policy")
    if job in JOBS:
        caller = use.caller if use.caller == "glue.amazonaws.com" else "role"
        context = {key: [_folder(value) for value in values] for key, values in use.context if key in _KEYS}
        yield {
            "job": job,
            "caller": caller,
            "action": use.action,
            "resource": _example(use.resource),
            "context": context,
        }


_KEYS: Final = ("aws:securetransport", "aws:sourceaccount", "aws:sourcearn", "cloudwatch:namespace", "s3:prefix")


def _example(resource: str) -> str:
    """The resource without the names of one run: of an object the bucket's first folder, of a log stream the group."""
    if ":s3:" in resource and "/" in resource:
        return f"{_folder(resource)}example"
    group, of_stream, _ = resource.partition(":log-stream:")
    return f"{group}{of_stream}example" if of_stream else resource


def _folder(text: str) -> str:
    """The bucket's first folder, of an object or a prefix; another text as it is."""
    if text.startswith("arn:aws:s3:::"):
        return "/".join(text.split("/")[:2]) + "/"
    return text if ":" in text or "/" not in text else text.partition("/")[0] + "/"


def process(deployed: Deployed, folder: Path, contents: Mapping[str, bytes]) -> None:
    deployed.wait_for(deployed.upload(folder, contents))


def add_empty_runs(deployed: Deployed) -> None:
    """Gives the day as many runs as are merged when it is computed the next time."""
    ledger = Ledger(deployed.pipeline.ledger_table)
    for number in range(MANY_RUNS):
        run = RunOfDay(f"empty-{number}", DAY, 1, [], None)
        deployed.pipeline.s3.put_object(
            Bucket=deployed.pipeline.outputs["DataBucketName"], Key=run.document_key, Body=json_line(run.document())
        )
        ledger.commit_run(DAY, run.name)


def test_the_recording_is_of_both_jobs() -> None:
    recording = json.loads(REQUESTS.read_text(encoding="utf-8"))
    assert {entry["job"] for entry in recording} == set(JOBS)
    assert recording == sorted(recording, key=lambda entry: json.dumps(entry, sort_keys=True))


if MODE:

    def test_real_jobs_ask_for_what_is_recorded(deployed: Deployed, tmp_path: Path) -> None:
        process(deployed, tmp_path, FIRST)
        add_empty_runs(deployed)
        process(deployed, tmp_path, SECOND)
        assert deployed.pipeline.snapshot().failures == ()
        assert len(Ledger(deployed.pipeline.ledger_table).runs(DAY)) == 1
        active = enforcement.active()
        assert active is not None
        found = kinds(active.usage.counts())
        if MODE == "record":
            REQUESTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        assert found == json.loads(REQUESTS.read_text(encoding="utf-8"))

    @pytest.mark.parametrize(("job", "action", "on"), LACKING)
    def test_an_email_names_the_permission_that_a_job_lacks(
        deployed: Deployed, tmp_path: Path, job: str, action: str, on: str
    ) -> None:
        (grant,) = [one for one in deployed_grants() if one.name == Name(job, action, on)]
        with removed(grant):
            process(deployed, tmp_path, FIRST)
        (email,) = [email for email in deployed.emails() if "somebody must look" in email.subject]
        assert f"is not authorized to perform: {action}" in email.message
