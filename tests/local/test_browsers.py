"""What a browser may ask the local servers, and what their answers let it do: nothing for the pages of other sites."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from local_aws.server import EmbeddedAws
from tests.kpi_api.browser import chromium
from tests.local.clients import operators_client
from tests.local.rest_apis import assembly, resources

FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1",
    "127.0.0.1:1",
    "127.0.0.1:{port}.evil.example",
    "127.0.0.1.nip.io:{port}",
    "localhost.evil.example:{port}",
    "data.localhost:{port}",
    "data.127.0.0.1:{port}",
    "localhost.:{port}",
    "[::1]:{port}",
    "0.0.0.0:{port}",
    "2130706433:{port}",
    "user@127.0.0.1:{port}",
    "127.0.0.1:{port}, evil.example",
    "",
]
FOREIGN_PAGES = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:{port}"},
    {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "Cross-Site"},
    {"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"},
]
PAGE = "<h1>of a producer</h1><script>document.title = 'run'</script>"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    folder = tmp_path_factory.mktemp("aws")
    given = {
        **resources(),
        "Bucket": ("AWS::S3::Bucket", {"BucketName": "data"}),
        "Topic": ("AWS::SNS::Topic", {"Subscription": [{"Protocol": "email", "Endpoint": "a@example.org"}]}),
    }
    with EmbeddedAws(assembly(folder / "cdk.out", given), folder / "aws") as running:
        yield running


def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Send a request that is not signed, with these headers only; `_` stands for a hyphen."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=60)
    given = {name.replace("_", "-"): value.replace("{port}", str(address.port)) for name, value in headers.items()}
    has_host = "host" in {name.lower() for name in given}
    target = address.path + (f"?{address.query}" if address.query else "")
    connection.putrequest(method, target, skip_host=has_host, skip_accept_encoding=True)
    for name, value in given.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    answer = response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    connection.close()
    return answer


def presigned(aws: EmbeddedAws, key: str, **parameters: str) -> str:
    s3 = operators_client(aws.environment(), "s3", signature_version="s3v4")
    return str(s3.generate_presigned_url("get_object", {"Bucket": "data", "Key": key, **parameters}))


def put(aws: EmbeddedAws, key: str, body: str, content_type: str) -> None:
    operators_client(aws.environment(), "s3").put_object(
        Bucket="data", Key=key, Body=body.encode(), ContentType=content_type
    )


def addresses(aws: EmbeddedAws) -> dict[str, str]:
    """An address of each listener that answers 200 to a browser that was given it."""
    put(aws, "a.txt", "1", "text/plain")
    return {"page": aws.emails_url, "object": presigned(aws, "a.txt"), "api": aws.outputs["Stack"]["Url"]}


@pytest.mark.parametrize("listener", ["page", "object", "api"])
def test_a_listener_answers_under_its_own_names(aws: EmbeddedAws, listener: str) -> None:
    url = addresses(aws)[listener]
    assert ask(url)[0] == 200
    # A signature is for one host.
    assert ask(url, Host="LOCALHOST:{port}")[0] == (403 if listener == "object" else 200)
    assert ask(url, Sec_Fetch_Site="none")[0] == 200
    assert ask(url, Sec_Fetch_Site="same-origin")[0] == 200


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
@pytest.mark.parametrize("listener", ["page", "object", "api"])
def test_no_listener_answers_under_a_foreign_name(aws: EmbeddedAws, listener: str, host: str) -> None:
    status, headers, body = ask(addresses(aws)[listener], Host=host)

    assert (status, headers["content-type"]) == (403, "text/plain; charset=utf-8")
    assert body.startswith(b"Refused: Use the host 127.0.0.1:")
    assert not [name for name in headers if name.startswith("access-control-")]


def test_a_host_in_the_request_line_counts(aws: EmbeddedAws) -> None:
    address = urlsplit(aws.emails_url)
    connection = http.client.HTTPConnection(address.netloc, timeout=60)
    connection.request("GET", f"http://evil.example{address.path}", headers={"Host": address.netloc})
    assert connection.getresponse().status == 403
    connection.close()


@pytest.mark.parametrize("headers", FOREIGN_PAGES)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
@pytest.mark.parametrize("listener", ["page", "object"])
def test_no_page_gets_an_answer_from_the_port_of_aws(
    aws: EmbeddedAws, listener: str, method: str, headers: dict[str, str]
) -> None:
    status, answered, body = ask(addresses(aws)[listener], method, **headers)

    assert status == 403
    assert body.startswith(b"Refused: Web pages may not use the embedded AWS.")
    assert not [name for name in answered if name.startswith("access-control-")]


def test_no_answer_of_aws_has_a_header_for_other_origins(aws: EmbeddedAws) -> None:
    for url in (aws.emails_url, presigned(aws, "a.txt"), aws.endpoint_url, f"{aws.endpoint_url}/data"):
        _, headers, _ = ask(url)
        assert not [name for name in headers if name.startswith("access-control-")]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("sandbox")
        assert headers["referrer-policy"] == "no-referrer"


def test_the_page_of_emails_has_another_address_at_every_start(aws: EmbeddedAws) -> None:
    folder = aws.emails_url.rpartition("/")[0]
    assert len(aws.emails_url) - len(folder) > 40
    for path in ("", "/", "/index.html", aws.emails_url.removeprefix(folder)[:-1]):
        assert ask(folder + path)[0] == 403


@pytest.mark.parametrize("content_type", ["text/html", "TEXT/HTML;charset=utf-8", "image/svg+xml", "text/xml", "a/b"])
def test_what_an_uploader_calls_a_page_is_saved_and_not_shown(aws: EmbeddedAws, content_type: str) -> None:
    put(aws, "upload", PAGE, content_type)
    status, headers, body = ask(presigned(aws, "upload"))

    assert (status, body) == (200, PAGE.encode())
    assert headers["content-disposition"] == "attachment"
    assert headers["content-security-policy"].startswith("sandbox; ")


def test_a_page_that_an_email_names_is_shown_without_its_scripts(aws: EmbeddedAws) -> None:
    put(aws, "docs/page.html", PAGE, "text/html")
    _, headers, _ = ask(presigned(aws, "docs/page.html", ResponseContentType="text/html; charset=utf-8"))

    assert "content-disposition" not in headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["content-security-policy"].startswith("sandbox; ")


def test_no_script_of_a_producer_runs_where_somebody_follows_an_email(aws: EmbeddedAws, tmp_path: Path) -> None:
    put(aws, "error/raw/plays.html/version", PAGE, "text/html")
    put(aws, "docs/page.html", PAGE, "text/html")
    text = "Now at: s3://data/error/raw/plays.html/version\nData Docs: s3://data/docs/page.html"
    topic = operators_client(aws.environment(), "sns").list_topics()["Topics"][0]["TopicArn"]
    operators_client(aws.environment(), "sns").publish(TopicArn=topic, Subject="rejected", Message=text)
    _, _, emails = ask(aws.emails_url)
    links = [unescape(found) for found in re.findall(r'<a href="([^"]+)">', emails.decode())]
    assert len(links) == 2

    with chromium() as browser:
        page = browser.new_page()
        page.goto(aws.emails_url)
        with page.expect_download() as download:
            page.get_by_text("plays.html/version").click()
        assert Path(download.value.path()).read_text() == PAGE
        page.goto(aws.emails_url)
        page.get_by_text("docs/page.html").click()
        page.get_by_text("of a producer").wait_for()
        assert page.title() != "run"
