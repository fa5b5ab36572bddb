"""The environment variables by which a process uses the embedded AWS, and nothing else of AWS."""

from __future__ import annotations

import os

from local_aws.iam.principals import Credentials


def client_environment(endpoint_url: str, region: str, credentials: Credentials) -> dict[str, str]:
    """Return the variables for a client process, to be laid over its own environment.

    Beside the endpoint and the keys they hide the user's AWS configuration and any proxy, so that a script started with
    them can reach no account in the cloud. The region is in AWS_REGION, as in the shell of a user of AWS.

    Args:
        endpoint_url: Where the embedded AWS answers.
        region: Its region.
        credentials: As whom the client asks.
    """
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_SESSION_TOKEN": credentials.session_token,  # empty hides the one of another account
        "AWS_REGION": region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
