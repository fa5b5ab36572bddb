"""CloudWatch for the clients of today, such as the AWS CLI: they send JSON, where older ones sent forms.

moto reads what a service understands from botocore's description of it, and ours is as old as Glue's.
"""

from __future__ import annotations

from typing import Final

from moto.core.utils import get_service_model

_JSON: Final = {"protocols": ["query", "json"], "jsonVersion": "1.0", "targetPrefix": "GraniteServiceVersion20100801"}
"""As newer botocore has it in `cloudwatch/2010-08-01/service-2.json`."""


def install() -> None:
    """Let moto's CloudWatch take JSON, too."""
    get_service_model("cloudwatch").metadata.update(_JSON)
