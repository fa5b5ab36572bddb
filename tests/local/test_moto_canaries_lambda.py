"""What moto's Lambda lacks without Docker; a test here fails once `local_aws.lambda_functions` is needless."""

from __future__ import annotations

import inspect

from moto.awslambda import models as lambda_models
from moto.events import models as events_models


def test_moto_still_runs_functions_in_docker_only() -> None:
    assert "docker_client.containers.run(" in inspect.getsource(lambda_models.LambdaFunction._invoke_lambda)


def test_moto_still_starts_a_container_per_event() -> None:
    assert "container.remove()" in inspect.getsource(lambda_models.LambdaFunction._invoke_lambda)


def test_moto_s_rules_still_deliver_to_no_function() -> None:
    assert '"lambda"' not in inspect.getsource(events_models.Rule.send_to_targets)


def test_moto_s_rules_with_a_schedule_still_never_fire_and_take_every_event_instead() -> None:
    assert "scheduled_expression" not in inspect.getsource(events_models.Rule.send_to_targets)
    assert events_models.EventPattern.load(None).matches_event({"source": "anything"})  # type: ignore[typeddict-item]
