"""Settings: read once from the environment, frozen, with units in their names.

Each group has a class, and a component is handed the group that concerns it. The tables in `docs/reference/settings.md`
are generated from these classes.
"""

import difflib
import shlex
from collections.abc import Iterator, Mapping

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.settings.base import Group
from gateway.settings.identity import IdentitySettings, TokenCacheSettings
from gateway.settings.limits import ChecksumSettings, LimitSettings
from gateway.settings.operations import CallbackSettings, OperationSettings, SweepSettings, WorkerSettings
from gateway.settings.registry import RegistrySettings
from gateway.settings.server import RequestSettings, ServerSettings, TenantSettings
from gateway.settings.triggers import TriggerSettings
from gateway.settings.upstream import FunctionSettings, RetrySettings, StoreSettings
from gateway.settings.usage import UsageSettings

_PREFIX = "OSFAAS_"
# Maximum characters of an invalid value in an error message.
_SHOWN = 100
# In the order of the documentation. A field that two groups share is in one table.
GROUPS: tuple[type[Group], ...] = (
    ServerSettings,
    RequestSettings,
    IdentitySettings,
    TokenCacheSettings,
    TenantSettings,
    StoreSettings,
    FunctionSettings,
    RetrySettings,
    ChecksumSettings,
    LimitSettings,
    OperationSettings,
    WorkerSettings,
    SweepSettings,
    CallbackSettings,
    UsageSettings,
    RegistrySettings,
    TriggerSettings,
)


class Settings(
    ServerSettings,
    RequestSettings,
    IdentitySettings,
    TenantSettings,
    StoreSettings,
    FunctionSettings,
    ChecksumSettings,
    LimitSettings,
    OperationSettings,
    WorkerSettings,
    SweepSettings,
    CallbackSettings,
    UsageSettings,
    RegistrySettings,
    TriggerSettings,
    BaseSettings,
):
    """All settings of the gateway; the variable of a field is `OSFAAS_` and its name in upper case."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid")


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Reads the settings from the environment.

    Raises:
        ValueError: a value is invalid, or a variable with our prefix is not a setting (misspelled). The message names
            the variables.
    """
    known = {_variable(name) for name in Settings.model_fields}
    unknown = sorted(name for name in environment if name.startswith(_PREFIX) and name not in known)
    if unknown:
        raise ValueError("; ".join(map(_unknown, unknown)))
    try:
        return Settings()
    except ValidationError as error:
        raise ValueError("; ".join(_refused(error))) from None


def _variable(field: str) -> str:
    return _PREFIX + field.upper()


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name.removeprefix(_PREFIX).lower(), Settings.model_fields, n=1)
    hint = f"did you mean {_variable(close[0])}?" if close else "osfaas settings lists them"
    return f"{name} is not a setting ({hint})"


def _refused(error: ValidationError) -> Iterator[str]:
    """An error message for each invalid value."""
    for problem in error.errors(include_url=False):
        variable, value = _variable(str(problem["loc"][0])), str(problem["input"])[:_SHOWN]
        message = problem["msg"].removeprefix("Value error, ")
        yield f"{variable}={shlex.quote(value)}: {message[:1].lower()}{message[1:]}"


def settings_table() -> str:
    """The settings as Markdown, a table for each group: variable, default, meaning."""
    tables = []
    for group in GROUPS:
        rows = [f"## {_title(group)}", "", "| variable | default | meaning |", "|---|---|---|"]
        for name in group.__annotations__:
            field = group.model_fields[name]
            default = field.default
            shown = ",".join(default) if isinstance(default, tuple) else "" if default is None else str(default)
            rows.append(f"| `{_variable(name)}` | {f'`{shown}`' if shown else '-'} | {field.description} |")
        tables.append("\n".join(rows))
    return "\n\n".join(tables)


def _title(group: type[Group]) -> str:
    """The sentence of the class, without its beginning and its full stop."""
    words = (group.__doc__ or "").removeprefix("Settings of ").removeprefix("the ").rstrip(".")
    return words[:1].upper() + words[1:]
