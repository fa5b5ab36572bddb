"""The e-mails of topics as files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from urllib.request import urlopen

import pytest

from local_aws.iam.principals import ANYBODY
from local_aws.mailbox import Mailbox
from local_aws.moto_server import MotoServer
from local_aws.resources.base import Target
from tests.local.workflow_server import WorkflowServer, workflow_server

PAGE = "/_local/emails"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkflowServer]:
    with workflow_server(tmp_path, monkeypatch) as running:
        yield running


def topic(server: WorkflowServer, *addresses: str) -> str:
    sns = server.client("sns")
    arn: str = sns.create_topic(Name="alerts")["TopicArn"]
    for address in addresses:
        sns.subscribe(TopicArn=arn, Protocol="email", Endpoint=address)
    return arn


def test_a_published_message_is_kept_once_for_every_address(server: WorkflowServer) -> None:
    arn = topic(server, "a@example.org", "b@example.org")
    server.client("sns").publish(TopicArn=arn, Subject="Märchen", Message="one\n\ntwo")
    assert [(email["to"], email["subject"], email["message"], email["topic_arn"]) for email in server.emails()] == [
        ("a@example.org", "Märchen", "one\n\ntwo", arn),
        ("b@example.org", "Märchen", "one\n\ntwo", arn),
    ]
    assert server.emails()[0]["sent_at"].endswith("Z")
    assert (server.emails_directory / "0001.txt").read_text() == ("To: a@example.org\nSubject: Märchen\n\none\n\ntwo\n")
    assert (server.emails_directory / "0002.txt").exists()


def test_a_message_without_a_subject_has_an_empty_one(server: WorkflowServer) -> None:
    server.client("sns").publish(TopicArn=topic(server, "a@example.org"), Message="m")
    assert server.emails()[0]["subject"] == ""


def test_a_topic_without_email_subscriptions_sends_none(server: WorkflowServer) -> None:
    sns = server.client("sns")
    _, queue_arn = server.queue("q")
    arn = topic(server)
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)
    sns.publish(TopicArn=arn, Message="m")
    assert server.emails() == []


def test_subscriptions_are_confirmed_at_once(server: WorkflowServer) -> None:
    arn = topic(server, "a@example.org")
    (subscription,) = server.client("sns").list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    assert subscription["SubscriptionArn"].startswith(arn)


def test_the_mailbox_that_is_installed_last_gets_the_emails(server: WorkflowServer, tmp_path: Path) -> None:
    Mailbox(tmp_path / "other").install()
    server.client("sns").publish(TopicArn=topic(server, "a@example.org"), Message="m")
    assert server.emails() == []
    assert (tmp_path / "other" / "0001.txt").exists()


def test_the_page_shows_the_emails_the_latest_first_and_escapes_them(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path / "emails")
    with serving_page(tmp_path, mailbox) as target:
        assert "None was sent so far" in read(target)
        for number in (1, 2):
            mailbox.receive(to="a@example.org", subject=f"<b>{number}</b>", message="<script>", topic_arn="arn")
        page = read(target)
    assert page.index("<h2>&lt;b&gt;2") < page.index("<h2>&lt;b&gt;1")
    assert "<script>" not in page


def test_what_an_email_names_opens_from_the_page(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path / "emails")
    message = "Docs: s3://data/a&b/é.html in s3://data/a&b/\nSee https://example.org/?a=1&b=2"
    mailbox.receive(to="a@example.org", subject="s", message=message, topic_arn="arn")
    with serving_page(tmp_path, mailbox) as target:
        s3 = target.client("s3")
        s3.create_bucket(Bucket="data")
        s3.put_object(Bucket="data", Key="a&b/é.html", Body=b"<h1>docs</h1>", ContentType="text/html")
        of_object, other = re.findall('<a href="([^"]+)">', read(target))
        with urlopen(unescape(of_object)) as answer:
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            assert answer.read() == b"<h1>docs</h1>"
    assert unescape(other) == "https://example.org/?a=1&b=2"


@contextmanager
def serving_page(folder: Path, mailbox: Mailbox) -> Iterator[Target]:
    server = MotoServer(0, folder / "requests.log")
    target = Target(server.endpoint_url, "123456789012", "us-east-1", ANYBODY)
    server.add_page(PAGE, lambda: mailbox.page(target.object_url))
    try:
        yield target
    finally:
        server.close()


def read(target: Target) -> str:
    with urlopen(target.endpoint_url + PAGE) as answer:
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        return str(answer.read().decode())
