"""What is wrong with plain moto where the deployment goes round it; a test here fails once that is needless."""

from __future__ import annotations

import inspect
import json
import socket
import subprocess
import sys
import textwrap

from moto import backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication


def run_in_plain_moto(script: str) -> str:
    """Run a script beside a moto that nothing of ours has touched; `client(service)` is there; returns its output."""
    preparation = """
        import boto3, json
        from botocore.exceptions import ClientError
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        url = "http://%s:%s" % server.get_host_and_port()

        def client(service):
            return boto3.client(
                service, endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
            )
    """
    whole = textwrap.dedent(preparation) + textwrap.dedent(script)
    return subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, check=True).stdout


def test_moto_denies_what_a_bucket_policy_denies_only_under_a_condition() -> None:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": "arn:aws:s3:::data/*",
        "Condition": {"NumericLessThan": {"s3:TlsVersion": "0"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    output = run_in_plain_moto(f"""
        s3 = client("s3")
        s3.create_bucket(Bucket="data")
        s3.put_bucket_policy(Bucket="data", Policy={policy!r})
        try:
            s3.put_object(Bucket="data", Key="a", Body=b"1")
        except ClientError as error:
            print(error.response["Error"]["Code"])
    """)

    assert output == "403\n"


def test_motos_own_threaded_server_never_returns_when_its_port_is_taken() -> None:
    script = """
        import sys, threading
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer("127.0.0.1", int(sys.argv[1]), verbose=False)
        starter = threading.Thread(target=server.start, daemon=True)
        starter.start()
        while server._thread is None or server._thread.is_alive():
            starter.join(0.01)
        starter.join(1)
        print(starter.is_alive())
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [sys.executable, "-c", textwrap.dedent(script), str(taken.getsockname()[1])]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert output == "True\n"


def test_moto_still_looks_into_its_folders_for_each_request() -> None:
    assert "in backends.list_of_moto_modules()" in inspect.getsource(DomainDispatcherApplication.get_backend_for_host)
    assert "os.listdir" in inspect.getsource(backends.list_of_moto_modules)


def test_moto_still_imports_a_slow_validator_with_its_api_gateway() -> None:
    output = run_in_plain_moto("""
        import sys
        import moto.apigateway.models
        print("openapi_spec_validator" in sys.modules)
    """)

    assert output == "True\n"
