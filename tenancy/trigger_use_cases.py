"""The rules of a project's triggers, for the member who defines one. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenancy.model.errors import FunctionError, PreconditionError, TooManyError
from tenancy.model.trigger import ObjectCreated
from tenancy.model.trigger_loops import loop_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenancy.function_use_cases import Expectation
    from tenancy.model.function import FunctionRecord
    from tenancy.model.trigger import TriggerRecord


def trigger_version(record: TriggerRecord) -> str:
    """The version of a trigger's specification. The status does not change it."""
    return f"{record.uid}-{record.generation}"


def check_trigger_expectation(record: TriggerRecord | None, expected: Expectation) -> None:
    """Checks the state of a trigger.

    Raises:
        PreconditionError: it is not as expected.
    """
    if expected.absent and record is not None:
        raise PreconditionError("the trigger exists already")
    if record is None and (expected.versions is not None or expected.present):
        raise PreconditionError("the trigger does not exist")
    if record is not None and expected.versions is not None and trigger_version(record) not in expected.versions:
        raise PreconditionError("the trigger has been changed since it was read; read it again")


def check_trigger(
    wanted: TriggerRecord,
    function: FunctionRecord,
    others: Sequence[TriggerRecord],
    *,
    per_function: int,
    per_project: int,
) -> None:
    """Checks a trigger before it is stored.

    Args:
        wanted: the trigger.
        function: that it runs.
        others: all other triggers of the project.
        per_function: maximum number of triggers of the function.
        per_project: the same of the project.

    Raises:
        TooManyError: there are as many as there may be.
        FunctionError: it could not fire, or would loop.
    """
    own = [each for each in others if each.spec.function == wanted.spec.function]
    for usage, limit, whose in (
        (len(own), per_function, "the function"),
        (len(others), per_project, "the project"),
    ):
        if usage >= limit:
            raise TooManyError(usage, limit, f"{whose} has {usage} triggers, and its limit is {limit}")
    source = wanted.spec.source
    if not isinstance(source, ObjectCreated):
        return
    if not function.spec.objects:
        raise FunctionError("the function takes no objects as inputs and outputs; set 'objects' to true first")
    sources = {wanted.object_name: source}
    sources |= {each.object_name: each.spec.source for each in others if isinstance(each.spec.source, ObjectCreated)}
    loop = loop_of(sources)
    if loop is not None and wanted.object_name in loop:
        way = " → ".join(loop)
        raise FunctionError(f"its output would fire triggers in a loop ({way}); write the output under another prefix")
