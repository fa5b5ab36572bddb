"""`make up`: tells how to use the running embedded AWS with a browser and the AWS CLI."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import boto3

from glue_scripts import names
from laptop.pipeline import all_outputs
from local_aws.environment import ACCESS_KEY, SECRET_KEY
from local_aws.work_dir import BUCKETS, EMAILS_PAGE, ServerState, read_state

WORK_DIR = Path(".local/aws")
REGION: Final = "us-east-1"


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

Use it with the AWS CLI (any credentials will do):
  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_DEFAULT_REGION=us-east-1
  {aws} s3 cp streams1.csv s3://{bucket}/raw/streams/
  {aws} stepfunctions list-executions --state-machine-arn {outputs["StateMachineArn"]}
  {aws} dynamodb query --table-name {kpis} --key-condition-expression 'pk = :day' \\
    --expression-attribute-values '{{":day": {{"S": "DAY#2024-06-25"}}}}'

The e-mails, which link reports and Data Docs:
  {state.endpoint_url}{EMAILS_PAGE}
Great Expectations' Data Docs, a page for each batch and dataset, once there are any:
  {work_dir.absolute().as_uri()}/{BUCKETS}/{bucket}/{names.QUALITY_PREFIX}data_docs/

Buckets, e-mails and job logs: {work_dir}/   Stop it: make down"""


def _api_key(state: ServerState, key_id: str) -> str:
    api_gateway: Any = boto3.client(
        "apigateway",
        endpoint_url=state.endpoint_url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
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
