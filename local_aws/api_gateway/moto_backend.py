"""moto's API Gateway, imported in a thirtieth of the time.

moto imports a validator of OpenAPI documents, which takes a second and which only ImportRestApi and PutRestApi need.
Nobody imports an API here: the two stay out of use.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Final

_VALIDATOR: Final = "openapi_spec_validator"
_EXCEPTIONS: Final = "openapi_spec_validator.validation.exceptions"


class ImportNotEmulatedError(Exception):
    """ImportRestApi or PutRestApi was called."""


def _refuse(document: object) -> None:
    raise ImportNotEmulatedError("local_aws does not import OpenAPI documents.")


def _stand_in(name: str, **members: object) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(members)
    return module


_present: Final = {name: module for name, module in sys.modules.items() if name.startswith(_VALIDATOR)}
if not _present:
    sys.modules[_VALIDATOR] = _stand_in(_VALIDATOR, validate=_refuse)
    sys.modules["openapi_spec_validator.validation"] = _stand_in("openapi_spec_validator.validation")
    sys.modules[_EXCEPTIONS] = _stand_in(_EXCEPTIONS, OpenAPIValidationError=ImportNotEmulatedError)
try:
    from moto.apigateway.models import apigateway_backends
finally:
    if not _present:
        for name in [name for name in sys.modules if name.startswith(_VALIDATOR)]:
            del sys.modules[name]

__all__ = ["apigateway_backends"]
