"""`make up`: tells how to use the running embedded AWS with a browser and the AWS CLI."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import boto3

from glue_scripts import names
from laptop.pipeline import all_outputs
from local_aws.work_dir import BUCKETS, ServerState, read_state

WORK_DIR = Path(".local/aws")


def instructions(state: ServerState, work_dir: Path) -> str:
    """Addresses and commands with the real names, ready to paste."""
    outputs = all_outputs(state.outputs)
    aws = f"aws --endpoint-url {state.endpoint_url}"
    bucket, kpis = outputs["DataBucketName"], outputs["KpisTableName"]
    url, key = outputs["ApiUrl"], _api_key(state, outputs["ApiKeyId"])
    return f"""
The KPI page, which asks for the key:
  {url}
  {key}
The KPI API (docs/api.md):
  curl -H 'x-api-key: {key}' {url}v1/days

Use it with the AWS CLI, as an administrator (any other key is refused):
  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_DEFAULT_REGION=us-east-1
  {aws} s3 cp streams1.csv s3://{bucket}/raw/streams/
  {aws} stepfunctions list-executions --state-machine-arn {outputs["StateMachineArn"]}
  {aws} dynamodb query --table-name {kpis} --key-condition-expression 'pk = :day' \\
    --expression-attribute-values '{{":day": {{"S": "DAY#2024-06-25"}}}}'

The e-mails, which link reports and Data Docs:
  {state.emails_url}
Great Expectations' Data Docs, a page for each batch and dataset, once there are any:
  {work_dir.absolute().as_uri()}/{BUCKETS}/{bucket}/{names.QUALITY_PREFIX}data_docs/

Buckets, e-mails and job logs: {work_dir}/   Stop it: make down"""


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
    """Prints the instructions for the embedded AWS that `make up` has started."""
    state = read_state(WORK_DIR)
    if state is None:
        print(f"No embedded AWS runs in {WORK_DIR}: start it with make up", file=sys.stderr)
        return 1
    print(instructions(state, WORK_DIR))
    return 0


if __name__ == "__main__":
    sys.exit(main())
