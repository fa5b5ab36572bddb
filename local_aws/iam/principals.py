"""The access keys by which requests tell who makes them."""

from __future__ import annotations

import base64
import secrets
import threading
from dataclasses import dataclass
from typing import Any, Final

from local_aws.iam.policies import Role


@dataclass(frozen=True)
class Credentials:
    """What a client signs its requests with.

    Attributes:
        access_key: The access key's id.
        secret_key: Its secret; signatures are not verified here.
        session_token: Token of a role's session; empty for the operator.
    """

    access_key: str
    secret_key: str
    session_token: str = ""

    def for_boto3(self) -> dict[str, Any]:
        """As the arguments of a client; boto3 takes no empty token."""
        return {
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "aws_session_token": self.session_token or None,
        }


OPERATOR: Final = Credentials("local", "local")
"""Whoever works at this computer: may do everything, as an administrator of an account."""


class Principals:
    """Gives credentials to sessions of roles, and tells whose an access key is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._credentials: dict[Role, Credentials] = {}
        self._roles: dict[str, Role] = {}

    def credentials_of(self, role: Role) -> Credentials:
        """Return the credentials of a session, the same at every call: here they do not expire."""
        with self._lock:
            if role not in self._credentials:
                # Temporary credentials begin with ASIA, followed by 16 characters of base 32.
                access_key = "ASIA" + base64.b32encode(secrets.token_bytes(10)).decode()
                self._credentials[role] = Credentials(access_key, secrets.token_hex(20), secrets.token_hex(40))
                self._roles[access_key] = role
            return self._credentials[role]

    def role_of(self, access_key: str) -> Role | None:
        """Return the session of a role that an access key stands for; None if it stands for none."""
        return self._roles.get(access_key)
