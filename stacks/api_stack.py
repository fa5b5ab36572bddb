"""The stack that answers questions about the KPIs by HTTPS."""

from __future__ import annotations

from typing import Final

import aws_cdk as cdk
from constructs import Construct

from stacks.constructs.kpi_rest_api import KpiRestApi
from stacks.constructs.python_function import PythonFunction
from stacks.settings import Settings
from stacks.storage_stack import StorageStack

_PACKAGES: Final = ("lambdas", "glue_scripts")
"""Of the second the function imports the module of shared names."""


class ApiStack(cdk.Stack):
    """A REST API and the function behind it, which reads the table `kpis`."""

    def __init__(self, scope: Construct, construct_id: str, *, storage: StorageStack, settings: Settings) -> None:
        super().__init__(
            scope,
            construct_id,
            description=f"Music KPI pipeline ({settings.environment}): the KPI API and its page",
            termination_protection=settings.retain_data,
        )
        kpi_api = PythonFunction(
            self,
            "KpiApi",
            name=settings.name("kpi-api"),
            handler="lambdas.kpi_api.handler.handler",
            packages=_PACKAGES,
            environment={
                "KPIS_TABLE": storage.kpis.table.table_name,
                "CORS_ALLOWED_ORIGINS": ",".join(settings.api_cors_allowed_origins),
            },
            settings=settings,
        )
        storage.kpis.grant_read(kpi_api.role)
        self.rest_api = KpiRestApi(self, "RestApi", answers=kpi_api, settings=settings)

        cdk.CfnOutput(self, "ApiUrl", value=self.rest_api.api.url)
        cdk.CfnOutput(self, "ApiKeyId", value=self.rest_api.key.key_id)
