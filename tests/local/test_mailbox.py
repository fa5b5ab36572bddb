"""The e-mails of topics as files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local_aws.mailbox import Mailbox
from tests.local.workflow_server import WorkflowServer, workflow_server


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
