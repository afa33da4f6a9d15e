"""A directory in a YAML file, for one machine and for sites that generate it.

    tenants:
      - project_id: 3d1f…
        functions:
          checksums: {url: "http://127.0.0.1:8081"}
          echo: {url: "http://127.0.0.1:8082", callable: true}    # reachable through /v1/invoke too
          thumbnail: {url: "http://127.0.0.1:8083", callable: true, objects: true}    # with inputs and outputs
          resize: {url: "http://127.0.0.1:8084", memory_mib: 512}    # memory of one instance, for usage
        suspended: "unpaid"          # optional: the reason
        triggers:                    # optional: functions that run when objects are created, each with a Keystone trust
          - {function: thumbnail, name: uploads, user_id: 77aa…, trust_id: 0c4f…,
             container: photos, prefix: in/, output: "small/{rest}", overwrite: false}

The file is re-read at most once per second, so new projects are served without a restart. A broken file changes
nothing: the last good one stays in force, and the error is logged.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from policies.names import NamespaceName, ProjectId, namespace_of
from tenancy.directory.protocol import FunctionAddress, Tenant
from tenancy.directory.triggers import NO_TRIGGERS, ProjectTriggers, bounded
from tenancy.model.errors import DirectoryError, NotOnboardedError
from tenancy.model.trigger import Trigger, TriggerRecord, source_of

log = logging.getLogger(__name__)

RECHECK_SECONDS = 1.0


class StaticDirectory:
    """`TenantDirectory` from a file."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Reads the file.

        Raises:
            DirectoryError: it cannot be read or is malformed.
        """
        self._path = path
        self._clock = clock
        self._version = _version(path)
        self._tenants, self._triggers = _read(path)
        self._recheck_at = clock() + RECHECK_SECONDS

    def tenant_of(self, project_id: ProjectId) -> Tenant:
        """See `TenantDirectory`."""
        self._recheck()
        try:
            return self._tenants[project_id]
        except KeyError:
            raise NotOnboardedError(project_id) from None

    def triggers_of(self, namespace: NamespaceName) -> ProjectTriggers:
        """See `TriggerDirectory`."""
        self._recheck()
        return self._triggers.get(namespace, NO_TRIGGERS)

    def sync_age_seconds(self) -> float | None:
        return max(0.0, self._clock() - self._recheck_at + RECHECK_SECONDS)

    def _recheck(self) -> None:
        now = self._clock()
        if now >= self._recheck_at:
            self._recheck_at = now + RECHECK_SECONDS
            self._reload()

    def _reload(self) -> None:
        try:
            version = _version(self._path)
            if version != self._version:
                self._tenants, self._triggers = _read(self._path)
                self._version = version
        except DirectoryError as error:
            log.error("tenant directory unchanged: %s", error)  # noqa: TRY400 - the traceback adds nothing


def read_tenants(path: Path) -> Mapping[ProjectId, Tenant]:
    """The tenants in the file, by project.

    Raises:
        DirectoryError: as `_read`.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[Mapping[ProjectId, Tenant], Mapping[NamespaceName, ProjectTriggers]]:
    """The tenants in the file, by project, and their triggers.

    Raises:
        DirectoryError: it cannot be read, is not YAML, has unknown or missing fields, or names a project twice.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DirectoryError(f"{path}: {error}") from error
    if not isinstance(document, dict) or set(document) != {"tenants"} or not isinstance(document["tenants"], list):
        raise DirectoryError(f"{path}: expected one list 'tenants'")
    tenants: dict[ProjectId, Tenant] = {}
    triggers: dict[NamespaceName, ProjectTriggers] = {}
    for number, entry in enumerate(document["tenants"], start=1):
        try:
            tenant = _tenant(entry)
            records = [_trigger(tenant.namespace, each) for each in entry.get("triggers", ())]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DirectoryError(f"{path}: tenant {number}: {error!r}") from error
        if tenant.project_id in tenants:
            raise DirectoryError(f"{path}: tenant {number}: project {tenant.project_id} is listed twice")
        tenants[tenant.project_id] = tenant
        if records:
            triggers[tenant.namespace] = ProjectTriggers(bounded(tenant.namespace, records))
    return tenants, triggers


def _tenant(entry: Mapping[str, Any]) -> Tenant:
    unknown = set(entry) - {"project_id", "functions", "suspended", "triggers"}
    if unknown:
        raise ValueError(f"unknown fields {sorted(unknown)}")
    project_id = entry["project_id"]
    if not isinstance(project_id, str) or not project_id:
        # YAML reads 0123 as an octal number, and true as a boolean.
        raise ValueError(f"project_id {project_id!r} must be a string: quote it")
    functions = {str(name): _address(address) for name, address in entry.get("functions", {}).items()}
    suspended = entry.get("suspended")
    return Tenant(
        ProjectId(project_id), namespace_of(ProjectId(project_id)), functions, str(suspended) if suspended else None
    )


def _trigger(namespace: NamespaceName, entry: Mapping[str, Any]) -> TriggerRecord:
    known = {"function", "name", "user_id", "trust_id", "container", "prefix", "output", "overwrite"}
    if set(entry) - known:
        raise ValueError(f"unknown fields {sorted(set(entry) - known)} of a trigger")
    spec = Trigger(
        function=str(entry["function"]),
        name=str(entry["name"]),
        user_id=str(entry["user_id"]),
        trust_id=str(entry["trust_id"]),
        source=source_of({"objectCreated": entry}),
    )
    record = TriggerRecord(namespace=namespace, spec=spec)
    # The same in every process that reads the file.
    return replace(record, uid=f"{namespace}/{record.object_name}")


def _address(address: Mapping[str, Any]) -> FunctionAddress:
    unknown = set(address) - {"url", "host", "callable", "objects", "memory_mib"}
    url, host = address["url"], address.get("host")
    callable_, objects = address.get("callable", False), address.get("objects", False)
    memory_mib = address.get("memory_mib", 0)
    if (
        unknown
        or not isinstance(url, str)
        or not isinstance(host, str | None)
        or not isinstance(callable_, bool)
        or not isinstance(objects, bool)
        or type(memory_mib) is not int
        or memory_mib < 0
    ):
        raise ValueError(
            "a function needs a string 'url' and may have a string 'host', booleans 'callable' and 'objects', and a "
            f"number 'memory_mib', not {address!r}"
        )
    return FunctionAddress(url.rstrip("/"), host, callable=callable_, objects=objects, memory_mib=memory_mib)


def _version(path: Path) -> tuple[int, int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise DirectoryError(f"{path}: {error.strerror}") from error
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
