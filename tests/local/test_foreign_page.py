"""A real browser shows the page of another site, which tries everything that a page can send to the embedded AWS."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from local_aws.server import EmbeddedAws
from tests.kpi_api.browser import chromium
from tests.local.assemblies import role, template, write_assembly
from tests.local.clients import operators_client

SITE = "evil.example"
FLAGS = (f"--host-resolver-rules=MAP {SITE} 127.0.0.1", "--disable-features=LocalNetworkAccessChecks")
"""The site's name leads to this computer, as after DNS rebinding; and no other defence of the browser interferes."""

RESOURCES = {
    "Role": role("glue"),
    "Bucket": ("AWS::S3::Bucket", {"BucketName": "data"}),
    "Topic": ("AWS::SNS::Topic", {"TopicName": "alerts"}),
    "Job": (
        "AWS::Glue::Job",
        {
            "Name": "job",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Command": {"Name": "pythonshell", "ScriptLocation": "s3://data/job.py"},
        },
    ),
    "Table": (
        "AWS::DynamoDB::Table",
        {
            "TableName": "items",
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        },
    ),
}

# The key "local" was once everybody's. Each attack ends, whatever comes of it; what could be read is returned.
ATTACKS = """
async ({aws, secrets, redirect}) => {
  const key = service => "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/" + service +
    "/aws4_request, SignedHeaders=host, Signature=" + "0".repeat(64)
  const read = []
  const ask = async (url, options) => {
    try {
      const answer = await fetch(url, options)
      if (answer.type !== "opaque") read.push(url + ": " + answer.status + " " + await answer.text())
    } catch (error) { /* what the browser says where the answer may not be read */ }
  }
  const ended = element => new Promise(done => {
    element.onload = element.onerror = done
    document.body.append(element)
  })
  const element = (name, attributes) => ended(Object.assign(document.createElement(name), attributes))
  const form = (action, enctype, fields, name) => {
    const frame = document.createElement("iframe")
    frame.name = name
    document.body.append(frame)
    const made = Object.assign(document.createElement("form"), {action, enctype, method: "POST", target: name})
    for (const [field, value] of Object.entries(fields))
      made.append(Object.assign(document.createElement("input"), {name: field, value}))
    document.body.append(made)
    return new Promise(done => { frame.onload = done; made.submit() })
  }
  const redirected = kind => redirect + "?kind=" + kind + "&to=" + encodeURIComponent(aws + "/moto-api/reset")
  const json = (service, target) => ({
    method: "POST",
    headers: {"Authorization": key(service), "X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"},
  })
  const script = {method: "PUT", body: "print('run')", headers: {"Authorization": key("s3")}}
  await ask(aws + "/data/evil.py", script)
  await ask(aws + "/data/evil.py", {method: "PUT", body: "print('run')"})
  const run = JSON.stringify({JobName: "job", Arguments: {"--scriptLocation": "s3://data/evil.py"}})
  await ask(aws + "/", {...json("glue", "AWSGlue.StartJobRun"), body: run})
  await ask(aws + "/", {...json("dynamodb", "DynamoDB_20120810.Scan"), body: JSON.stringify({TableName: "items"})})
  const deletion = new URLSearchParams({Action: "DeleteTopic", TopicArn: "arn:aws:sns:us-east-1:123456789012:alerts"})
  for (const mode of ["cors", "no-cors"]) {
    await ask(aws + "/", {mode, method: "POST", body: deletion})
    await ask(aws + "/", {mode, method: "POST", body: run})
    await ask(aws + "/moto-api/reset", {mode, method: "POST"})
    await ask(aws + "/moto-api/data.json", {mode})
    await ask(aws + "/data/secret.txt", {mode, credentials: "include"})
    for (const secret of secrets) await ask(secret, {mode})
    for (const kind of [302, 307]) await ask(redirected(kind), {mode, method: "POST"})
  }
  await form(aws + "/moto-api/reset", "application/x-www-form-urlencoded", {}, "reset")
  await form(aws + "/moto-api/recorder/start-recording", "text/plain", {a: "b"}, "record")
  await form(aws + "/data", "multipart/form-data", {key: "evil.py", file: "print('run')"}, "upload")
  await form(redirected(307), "text/plain", {}, "redirect")
  for (const url of [aws + "/data/secret.txt", aws + "/moto-api/data.json", ...secrets]) {
    await element("img", {src: url})
    await element("script", {src: url})
    await element("link", {rel: "stylesheet", href: url})
    await element("iframe", {src: url})
    await element("object", {data: url})
  }
  navigator.sendBeacon(aws + "/moto-api/reset", "a=b")
  await new Promise(done => { new WebSocket(aws.replace("http", "ws") + "/").onerror = done })
  await new Promise(done => {
    const source = new EventSource(aws + "/moto-api/data.json")
    source.onerror = () => { source.close(); done() }
  })
  return read
}
"""


@contextmanager
def site() -> Iterator[int]:
    """The other site: a page, and redirects to wherever a request says. Gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            self.send_response(int(query["kind"][0]) if "kind" in query else 200)
            if "to" in query:
                self.send_header("Location", query["to"][0])
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>evil</title><body></body>")

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def state(aws: EmbeddedAws) -> dict[str, Any]:
    """What an attack could change."""
    s3, glue = (operators_client(aws.environment(), service) for service in ("s3", "glue"))
    dynamodb, sns = (operators_client(aws.environment(), service) for service in ("dynamodb", "sns"))
    return {
        "objects": [(one["Key"], one["ETag"]) for one in s3.list_objects_v2(Bucket="data")["Contents"]],
        "runs": glue.get_job_runs(JobName="job")["JobRuns"],
        "items": dynamodb.scan(TableName="items")["Items"],
        "topics": [one["TopicArn"] for one in sns.list_topics()["Topics"]],
    }


def refusals(log: Path, *, since: int) -> list[tuple[str, str]]:
    """Method and status of each request that was logged after so many lines."""
    lines = log.read_text("utf-8").splitlines()[since:]
    return re.findall(r"\] (\S+) \S+ \S+ (\d{3}) \S+$", "\n".join(lines), re.MULTILINE)


def test_every_request_of_another_site_is_refused_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")  # where moto's recorder would write
    log = tmp_path / "aws/logs/requests.log"
    write_assembly(tmp_path / "cdk.out", {"Stack": template(RESOURCES)})
    with EmbeddedAws(tmp_path / "cdk.out", tmp_path / "aws") as aws, site() as port, chromium(*FLAGS) as browser:
        s3 = operators_client(aws.environment(), "s3", signature_version="s3v4")
        s3.put_object(Bucket="data", Key="secret.txt", Body=b"secret")
        items = operators_client(aws.environment(), "dynamodb")
        items.put_item(TableName="items", Item={"pk": {"S": "secret"}})
        # Even who knows the addresses that the owner opens gets nothing by a page.
        secrets = [aws.emails_url, s3.generate_presigned_url("get_object", {"Bucket": "data", "Key": "secret.txt"})]
        before, lines = state(aws), len(log.read_text("utf-8").splitlines())
        own_port = urlsplit(aws.endpoint_url).port

        for origin in (f"http://{SITE}:{port}", f"http://localhost:{port}"):
            for name in ("127.0.0.1", "localhost", SITE):
                page = browser.new_page()
                page.goto(origin)
                known = [secret.replace("127.0.0.1", name, 1) for secret in secrets]
                given = {"aws": f"http://{name}:{own_port}", "secrets": known, "redirect": origin}
                assert page.evaluate(ATTACKS, given) == []
                page.close()
        rebound = browser.new_page()
        for path in ("/", "/moto-api/", urlsplit(aws.emails_url).path):
            answer = rebound.goto(f"http://{SITE}:{own_port}{path}")
            assert answer is not None
            assert answer.status == 403
            assert "access-control-allow-origin" not in answer.headers
        reset = "fetch('/moto-api/reset', {method: 'POST'}).then(answer => answer.status)"
        assert rebound.evaluate(reset) == 403

        asked = refusals(log, since=lines)
        assert {status for _, status in asked} == {"403"}, asked
        assert {"GET", "POST", "OPTIONS"} <= {method for method, _ in asked}
        assert len(asked) > 6 * 30
        assert json.dumps(state(aws), default=str) == json.dumps(before, default=str)
        assert not list((tmp_path / "cwd").iterdir())
