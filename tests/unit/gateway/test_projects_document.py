"""What an administrator may ask of a project, and what is no question."""

from typing import Any

import pytest

from control.document import parse_change
from gateway.errors import ErrorCode, GatewayError
from policies.model import IsolationLevel


@pytest.mark.parametrize("level", ["L9", "", 2, 1.5, [], ["L2"], {}, {"L2": 1}, True])
def test_level_that_is_none_is_refused(level: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        parse_change({"project": {"isolation": level}}, states=False)
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED
    assert "'isolation' must be one of L1, " in caught.value.message


def test_level_is_read() -> None:
    assert parse_change({"project": {"isolation": "L2"}}, states=False).patch.isolation is IsolationLevel.L2
    assert parse_change({"project": {}}, states=False).patch.isolation is None
