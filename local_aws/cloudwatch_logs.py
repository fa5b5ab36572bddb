"""CloudWatch Logs as far as moto lacks it: `FilterLogEvents` by the beginning of the streams' names."""

from __future__ import annotations

import json
from collections.abc import Callable

from moto.logs.responses import LogsResponse

from local_aws.patching import replace


def install() -> None:
    """Let moto's FilterLogEvents heed `logStreamNamePrefix` (tests/local/test_log_streams.py)."""
    global _moto_filter_log_events
    if LogsResponse.filter_log_events is not _filter_log_events:
        _moto_filter_log_events = replace(LogsResponse, "filter_log_events", _filter_log_events)


_moto_filter_log_events: Callable[[LogsResponse], str]


def _filter_log_events(self: LogsResponse) -> str:
    prefix = self._get_param("logStreamNamePrefix")
    group = self.logs_backend.groups.get(self._get_param("logGroupName"))
    if not prefix or group is None:
        return _moto_filter_log_events(self)
    names = [name for name in group.streams if name.startswith(prefix)]
    if not names:
        return json.dumps({"events": [], "searchedLogStreams": []})  # moto takes an empty list for all streams
    self.body = json.dumps({**json.loads(self.body), "logStreamNames": names})
    return _moto_filter_log_events(self)
