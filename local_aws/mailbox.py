"""The e-mails that topics send, kept as files: one text file each, and all of them as JSON lines."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Final

from moto.sns.models import Subscription

from local_aws.patching import MotoObject, replace

_PROTOCOLS: Final = ("email", "email-json")
_present: Final[dict[str, Mailbox]] = {}

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>E-mails</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font-family: system-ui, sans-serif; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
</style>
<h1>E-mails</h1>
{emails}
</html>
"""
_LINK: Final = re.compile(r"s3://([a-z0-9.-]+)/(\S+)|https?://\S+")


class Mailbox:
    """Keeps every message that is published to a topic with e-mail subscriptions, once per subscription.

    Subscriptions count as confirmed. Layout of the folder: `0001.txt`, `0002.txt` … (`To:`, `Subject:`, an empty line,
    the message) and `emails.jsonl` with the members `to`, `subject`, `message`, `topic_arn`, `sent_at`.

    Args:
        directory: Folder for the e-mails; made if it is not there.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()

    def install(self) -> None:
        """Take the e-mails of every topic in this process; the mailbox that is installed last gets them."""
        if not _present:
            _make_subscriptions_deliver()
        _present["mailbox"] = self

    def receive(self, *, to: str, subject: str, message: str, topic_arn: str) -> None:
        """Keep an e-mail.

        Args:
            to: Address of the subscription.
            subject: Subject; empty if the publisher gave none.
            message: Body, plain text.
            topic_arn: Topic that it was published to.
        """
        email = {
            "to": to,
            "subject": subject,
            "message": message,
            "topic_arn": topic_arn,
            "sent_at": datetime.now(tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        with self._lock:
            self._directory.mkdir(parents=True, exist_ok=True)
            number = len(list(self._directory.glob("[0-9]*.txt"))) + 1
            text = f"To: {to}\nSubject: {subject}\n\n{message}\n"
            (self._directory / f"{number:04d}.txt").write_text(text, encoding="utf-8")
            with (self._directory / "emails.jsonl").open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(email, ensure_ascii=False) + "\n")

    def page(self, object_url: Callable[[str, str], str]) -> str:
        """All e-mails as one HTML page, the latest first.

        Args:
            object_url: Bucket and key to where a browser can read the object: what an e-mail names is a link.
        """
        path = self._directory / "emails.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        emails = [_as_html(json.loads(line), object_url) for line in reversed(lines)]
        return _PAGE.format(emails="\n".join(emails) or "<p>None was sent so far.</p>")


def _as_html(email: dict[str, str], object_url: Callable[[str, str], str]) -> str:
    about = escape(f"{email['sent_at']} to {email['to']}")
    return (
        f"<article>\n<h2>{escape(email['subject'] or '(no subject)')}</h2>\n<p>{about}</p>\n"
        f"<pre>{_linked(email['message'], object_url)}</pre>\n</article>"
    )


def _linked(text: str, object_url: Callable[[str, str], str]) -> str:
    parts, end = [], 0
    for found in _LINK.finditer(text):
        if found[0].endswith("/") and found[1]:
            continue  # a folder: S3 has nothing to show under its name
        address = object_url(found[1], found[2]) if found[1] else found[0]
        parts += [escape(text[end : found.start()]), f'<a href="{escape(address)}">{escape(found[0])}</a>']
        end = found.end()
    return "".join([*parts, escape(text[end:])])


def _make_subscriptions_deliver() -> None:
    def publish(
        self: MotoObject, message: str, message_id: str, subject: str | None = None, **named: MotoObject
    ) -> None:
        deliver(self, message, message_id, subject=subject, **named)
        if self.protocol in _PROTOCOLS and _passes_filter(self, message, named.get("message_attributes")):
            if named.get("message_structure") == "json":
                message = self._parse_message_structure(message, self.protocol)
            _present["mailbox"].receive(
                to=self.endpoint, subject=subject or "", message=message, topic_arn=self.topic_arn
            )

    deliver = replace(Subscription, "publish", publish)


def _passes_filter(subscription: MotoObject, message: str, attributes: MotoObject) -> bool:
    matcher = subscription._filter_policy_matcher
    return matcher is None or bool(matcher.matches(attributes, message))
