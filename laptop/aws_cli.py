"""`make up`: prints how to use the running embedded AWS from a shell and a browser."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import boto3

from glue_scripts import names
from laptop.inputs import SAMPLES_DIR, SAMPLES_SEED
from laptop.pipeline import all_outputs
from local_aws.work_dir import BUCKETS, ENVIRONMENT, ServerState, read_state, write_environment
from samples.generate import FIRST_DAY, sample_files, write_files

WORK_DIR = Path(".local/aws")
SAMPLES = ("users.csv", "songs.csv.gz", f"streams_{FIRST_DAY}_1.csv")
"""What the printed commands upload: a catalogue, and plays of one day."""


def instructions(state: ServerState, work_dir: Path) -> str:
    """Addresses, and commands with the real names. Every indented line can be pasted as it stands."""
    outputs = all_outputs(state.outputs)
    bucket = outputs["DataBucketName"]
    return f"""
In a shell, which then uses this AWS and no other:
  source {work_dir / ENVIRONMENT}
Upload made-up users, songs and plays of {FIRST_DAY} ({SAMPLES_DIR}/ has more):
  for name in {" ".join(SAMPLES)}; do
    curl -sSf --aws-sigv4 "aws:amz:$AWS_REGION:s3" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \\
      --header "x-amz-content-sha256: UNSIGNED-PAYLOAD" --upload-file "{SAMPLES_DIR}/$name" \\
      "$AWS_ENDPOINT_URL/{bucket}/{names.RAW_PREFIX}${{name%%[_.]*}}/$name"
  done
See what becomes of them (docs/operations.md):
  .venv/bin/python -m operations status --env dev
Their KPIs, once the status says that nothing runs (docs/api.md):
  curl -sSf --header "x-api-key: $KPI_API_KEY" "${{KPI_API_URL}}v1/days"
  .venv/bin/python -m operations kpis --env dev --day {FIRST_DAY}
The AWS CLI 2 works in this shell as on AWS; the bucket is {bucket}.

The KPI page, which asks for the key {_api_key(state, outputs["ApiKeyId"])}:
{outputs["ApiUrl"]}
The e-mails, which link reports and Data Docs:
{state.emails_url}
Great Expectations' Data Docs, a page for each batch and dataset, once there are any:
{work_dir.absolute().as_uri()}/{BUCKETS}/{bucket}/{names.QUALITY_PREFIX}data_docs/

Buckets, e-mails and job logs: {work_dir}/   Stop it: make down"""


def shell_variables(state: ServerState) -> dict[str, str]:
    """The variables that the commands use, by name."""
    outputs = all_outputs(state.outputs)
    api = {"KPI_API_URL": outputs["ApiUrl"], "KPI_API_KEY": _api_key(state, outputs["ApiKeyId"])}
    return {**state.environment, **api}


def _api_key(state: ServerState, key_id: str) -> str:
    api_gateway: Any = boto3.client(
        "apigateway",
        endpoint_url=state.environment["AWS_ENDPOINT_URL"],
        region_name=state.environment["AWS_REGION"],
        aws_access_key_id=state.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=state.environment["AWS_SECRET_ACCESS_KEY"],
    )
    return str(api_gateway.get_api_key(apiKey=key_id, includeValue=True)["value"])


def main() -> int:
    """Completes the shell's variables, writes the samples, and prints the instructions for what `make up` started."""
    state = read_state(WORK_DIR)
    if state is None:
        print(f"No embedded AWS runs in {WORK_DIR}: start it with make up", file=sys.stderr)
        return 1
    write_environment(WORK_DIR, state, shell_variables(state))
    write_files(sample_files(seed=SAMPLES_SEED), SAMPLES_DIR)
    print(instructions(state, WORK_DIR))
    return 0


if __name__ == "__main__":
    sys.exit(main())
