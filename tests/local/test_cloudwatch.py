"""CloudWatch answers old clients and new ones."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import boto3
import botocore.session

from local_aws import cloudwatch
from local_aws.moto_server import MotoServer


def test_metrics_that_boto3_puts_as_a_form_are_listed_by_a_client_that_speaks_json(tmp_path: Path) -> None:
    cloudwatch.install()
    server = MotoServer(0, tmp_path / "requests.log")
    try:
        client = boto3.client(
            "cloudwatch",
            endpoint_url=server.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        client.put_metric_data(Namespace="OfThisTest", MetricData=[{"MetricName": "Files", "Value": 3}])
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "GraniteServiceVersion20100801.ListMetrics",
            "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/monitoring/aws4_request",
        }
        request = urllib.request.Request(server.endpoint_url, b'{"Namespace": "OfThisTest"}', headers)
        with urllib.request.urlopen(request, timeout=10) as response:
            assert [metric["MetricName"] for metric in json.load(response)["Metrics"]] == ["Files"]
    finally:
        server.close()


def test_botocore_still_knows_no_json_for_cloudwatch() -> None:
    """A canary: once it does, local_aws/cloudwatch.py can go."""
    model = botocore.session.get_session().get_service_model("cloudwatch")
    assert model.metadata["protocols"] == ["query"]
