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
        secret_key: Its secret.
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


ANYBODY: Final = Credentials("anybody", "anybody")
"""What is signed with where no `Enforcement` is installed: nobody looks at it."""


class Principals:
    """Gives credentials to the operator and to sessions of roles, and tells whose an access key is.

    Attributes:
        operator: Credentials of the person at this computer, made at random: may do everything, as an administrator
            of an account.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.operator: Final = _new_credentials("AKIA", session_token="")
        self._credentials: dict[Role, Credentials] = {}
        self._roles: dict[str, Role] = {}

    def credentials_of(self, role: Role) -> Credentials:
        """Return the credentials of a session, the same at every call: here they do not expire."""
        with self._lock:
            if role not in self._credentials:
                # Temporary credentials begin with ASIA, those of users with AKIA.
                credentials = _new_credentials("ASIA", session_token=secrets.token_hex(40))
                self._credentials[role] = credentials
                self._roles[credentials.access_key] = role
            return self._credentials[role]

    def role_of(self, access_key: str) -> Role | None:
        """Return the session of a role that an access key stands for; None if it stands for none."""
        return self._roles.get(access_key)

    def with_key(self, access_key: str) -> Credentials | None:
        """Return the credentials of an access key; None if nobody has it."""
        if access_key == self.operator.access_key:
            return self.operator
        role = self._roles.get(access_key)
        return None if role is None else self._credentials[role]


def _new_credentials(prefix: str, *, session_token: str) -> Credentials:
    """Credentials with a random secret. An access key is its prefix and 16 characters of base 32."""
    access_key = prefix + base64.b32encode(secrets.token_bytes(10)).decode()
    return Credentials(access_key, secrets.token_hex(20), session_token)
