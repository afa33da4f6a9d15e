"""`conn.function`: the gateway for programs that use openstacksdk."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from keystoneauth1.identity.base import BaseIdentityPlugin
from openstack import exceptions, proxy
from requests import Response

from client.errors import CommandError, TokenRefusedError
from client.exchange import RetryPolicy
from client.functions.invoke import Invocation, target_of
from client.functions.revisions import previous_revision
from client.functions.waiting import NotReadyInTimeError, Wait, wait_until_ready
from client.listing import ListQuery, digests_of
from client.location import Location
from client.login import Login
from client.operations.api import Wait as OperationWait
from client.operations.api import wait_for_end
from client.sdk.function import Function, FunctionLog, Revision, Tenant
from client.sdk.sweep import Sweep
from client.sdk.values import Checksum, Limit, limits_of
from client.sweeps import SweepOrder, sweep_line

_RETRY_SECONDS = 120.0
_FIRST_ERROR = 400
_DOTS = frozenset({".", ".."})
_VERSION = "/v1"


class Proxy(proxy.Proxy):
    """Functions, checksums, limits and, for administrators, tenants.

    Every method raises exceptions of `openstack.exceptions`, with the sentence of the service.
    """

    # There is one version, and every path names it: a request for the version document would tell nothing.
    skip_discovery = True

    def request(self, url: str, method: str, *args: Any, **kwargs: Any) -> Response:
        """Sends a request; the catalog may name the service with or without its version."""
        if url.startswith(f"{_VERSION}/") and self._base().endswith(_VERSION):
            url = url[len(_VERSION) :]
        answer: Response = super().request(url, method, *args, **kwargs)
        return answer

    # --- functions ---

    def functions(self, **query: Any) -> Iterator[Function]:
        """The functions of the project, page by page as they are consumed.

        Args:
            query: `limit` is the size of a page; `marker` the name after which to begin.
        """
        found: Iterator[Function] = self._list(Function, **query)
        return found

    def get_function(self, function: str | Function) -> Function:
        """A function by name."""
        return self._get(Function, function)

    def find_function(self, name: str, *, ignore_missing: bool = True) -> Function | None:
        """A function by name, or None."""
        try:
            return self._get(Function, name)
        except exceptions.NotFoundException:
            if ignore_missing:
                return None
            raise

    def create_function(self, name: str, image: str, **fields: Any) -> Function:
        """Creates a function; fails if there is one of the name."""
        return self._create(Function, name=name, image=image, **fields)

    def update_function(self, function: str | Function, **fields: Any) -> Function:
        """Changes fields of a function; None restores a default."""
        name = function if isinstance(function, str) else function.name
        answer = self.patch(f"{Function.base_path}/{name}", json={"function": fields})
        exceptions.raise_from_response(answer)
        return Function.existing(connection=self._get_connection(), **answer.json()["function"])

    def delete_function(self, function: str | Function, *, ignore_missing: bool = True) -> None:
        """Deletes a function with all its revisions."""
        self._delete(Function, function, ignore_missing=ignore_missing)

    def wait_for_function(
        self,
        function: str | Function,
        *,
        seconds: float = 300.0,
        progress: Callable[[str], object] = lambda _line: None,
        sleep: Callable[[float], None] = time.sleep,
        condition: str = "Ready",
    ) -> Function:
        """Waits until a function serves its current specification.

        Args:
            function: or its name.
            seconds: maximum wait.
            progress: gets a line whenever something changed.
            sleep: waits between two requests.
            condition: `TrafficAssigned` after a change of the shares alone: the latest revision may be broken.

        Raises:
            ResourceTimeout: it was not ready within the time; the platform continues.
            ResourceFailure: it cannot become ready; with the reason.
        """
        name = function if isinstance(function, str) else function.name

        def read() -> dict[str, Any]:
            shown: dict[str, Any] = self.get_function(name).to_dict()
            return shown

        try:
            wait_until_ready(
                Wait(seconds, read, lambda line: (progress(line), None)[1], sleep=sleep, condition=condition)
            )
        except NotReadyInTimeError as error:
            raise exceptions.ResourceTimeout(str(error)) from error
        except CommandError as error:
            raise exceptions.ResourceFailure(str(error)) from error
        return self.get_function(name)

    def revisions(self, function: str | Function) -> Iterator[Revision]:
        """The revisions of a function, the newest first."""
        found: Iterator[Revision] = self._list(Revision, function=_name(function))
        return found

    def logs(self, function: str | Function, *, tail: int = 100) -> Iterator[FunctionLog]:
        """The ends of the outputs of a function's containers."""
        found: Iterator[FunctionLog] = self._list(FunctionLog, function=_name(function), tail=tail)
        return found

    def set_traffic(self, function: str | Function, shares: Sequence[Mapping[str, Any]] | None) -> Function:
        """Shares the calls between revisions; None: all go to the latest ready one."""
        return self.update_function(function, traffic=None if shares is None else [dict(each) for each in shares])

    def rollback_function(self, function: str | Function, revision: str | None = None) -> Function:
        """Sends all calls to an earlier revision; None: the one before the present one."""
        chosen = revision or self._previous(_name(function))
        return self.set_traffic(function, [{"percent": 100, "revision": chosen, "tag": None}])

    def invoke(
        self,
        function: str | Function,
        path: str = "",
        *,
        method: str = "POST",
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
        overwrite: bool = False,
        stream: bool = False,
    ) -> Response:
        """Calls a function once; returns its reply, whatever its status is.

        Args:
            function: or its name, or `name@tag`.
            path: of the call, with its query.
            method: of the call.
            data: the body: bytes, a file, a generator of bytes.
            headers: of the call.
            inputs: objects that the function may read, as `[name:]container/object`.
            outputs: objects that it may write.
            overwrite: whether outputs may replace objects that exist.
            stream: whether the body of the reply is left unread.

        Raises:
            HttpException: the gateway refused the call, or the function did not reply.
        """
        call = Invocation(_name(function), path, tuple(inputs), tuple(outputs), overwrite)
        try:
            target = target_of(call)
        except CommandError as error:
            raise exceptions.InvalidRequest(str(error)) from error
        answer = self.request(target, method, data=data, headers=dict(headers or {}), stream=stream, raise_exc=False)
        # Only the gateway's own errors say `no-store` without `private`.
        if answer.status_code >= _FIRST_ERROR and answer.headers.get("Cache-Control") == "no-store":
            exceptions.raise_from_response(answer)
        return answer

    # --- checksums ---

    def checksum(
        self,
        container: str,
        name: str,
        *,
        algorithms: Sequence[str] = (),
        version: str | None = None,
        store: bool = False,
    ) -> Checksum:
        """Digests of one object.

        Args:
            container: of the object.
            name: of the object.
            algorithms: that are computed in one reading; none: those of the gateway's operator.
            version: of the object.
            store: whether they are stored in its metadata.
        """
        params = {"algorithm": ",".join(algorithms)} if algorithms else {}
        params.update({"version-id": version} if version else {})
        params.update({"store": "true"} if store else {})
        path = Location(container, name).path
        if _DOTS & {*name.split("/"), container}:
            # HTTP libraries take dots out of a path.
            path, params = "/v1/checksums", {**params, "bucket": container, "file": name}
        answer = self.get(path, params=params, headers={"Accept": "application/json"})
        exceptions.raise_from_response(answer)
        return _checksum(answer.json())

    def checksums(
        self,
        container: str,
        *,
        prefix: str = "",
        algorithm: str = "",
        store: bool = False,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> Iterator[Checksum]:
        """Digests of all objects of a container, in arbitrary order, as each is known.

        An object whose digest cannot be had is listed with `error`.
        """
        query, retry = ListQuery(container, prefix, algorithm, store), RetryPolicy(retry_seconds)
        seen: set[str] = set()  # after another login, the list starts over
        for last in (False, True):
            try:
                for line in digests_of(self._login(), query, retry):
                    if line["object"] not in seen:
                        seen.add(line["object"])
                        yield _checksum(line)
            except TokenRefusedError as error:
                if last:
                    raise exceptions.HttpException(str(error), http_status=401) from error
                self.session.invalidate()
            except CommandError as error:
                raise exceptions.HttpException(str(error), http_status=error.status or 0) from error
            else:
                return

    # --- sweeps ---

    def sweeps(self, **query: Any) -> Iterator[Sweep]:
        """The integrity sweeps of the project, the youngest first.

        Args:
            query: `subject` is the container of the sweeps; `limit` the size of a page.
        """
        found: Iterator[Sweep] = self._list(Sweep, **query)
        return found

    def get_sweep(self, sweep: str | Sweep) -> Sweep:
        """A sweep, with its progress."""
        return self._get(Sweep, sweep)

    def create_sweep(self, container: str, **options: Any) -> Sweep:
        """Begins a sweep.

        Args:
            container: whose objects are read.
            options: the others of `client.sweeps.SweepOrder`.
        """
        try:
            body = SweepOrder(container, **options).document()
        except CommandError as error:
            raise exceptions.InvalidRequest(str(error)) from error
        answer = self.post(Sweep.base_path, json=body, headers={"Idempotency-Key": str(uuid.uuid4())})
        exceptions.raise_from_response(answer)
        return Sweep.existing(connection=self._get_connection(), **answer.json())

    def cancel_sweep(self, sweep: str | Sweep) -> None:
        """Cancels a sweep; what it has written remains."""
        exceptions.raise_from_response(self.delete(f"/v1/operations/{_id(sweep)}"))

    def sweep_summary(self, sweep: str | Sweep) -> dict[str, Any]:
        """What a sweep that has succeeded has found."""
        answer = self.get(f"/v1/operations/{_id(sweep)}/result")
        exceptions.raise_from_response(answer)
        found: dict[str, Any] = answer.json()
        return found

    def wait_for_sweep(
        self,
        sweep: str | Sweep,
        *,
        seconds: float = 2_592_000.0,
        progress: Callable[[str], object] = lambda _line: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Sweep:
        """Waits until a sweep has succeeded.

        Raises:
            ResourceTimeout: it has not ended within the time, and goes on.
            ResourceFailure: it has ended without success; with the reason.
        """

        def read() -> dict[str, Any]:
            shown: dict[str, Any] = self.get_sweep(_id(sweep)).to_dict()
            return shown

        def say(found: dict[str, Any]) -> None:
            progress(sweep_line(found))

        try:
            ended = wait_for_end(OperationWait(seconds, read, say, sleep=sleep))
        except CommandError as error:
            raise exceptions.ResourceTimeout(str(error)) from error
        if ended["state"] != "succeeded":
            raise exceptions.ResourceFailure((ended["error"] or {}).get("message") or f"It is {ended['state']}.")
        return self.get_sweep(_id(sweep))

    # --- limits and tenants ---

    def limits(self) -> Iterator[Limit]:
        """The limits of the project, with their usage and their sources."""
        answer = self.get("/v1/limits")
        exceptions.raise_from_response(answer)
        yield from limits_of(answer.json())

    def tenants(self) -> Iterator[Tenant]:
        """All tenants. For administrators, as are all methods for tenants."""
        found: Iterator[Tenant] = self._list(Tenant, paginated=False)
        return found

    def get_tenant(self, project_id: str) -> Tenant:
        """A tenant by the id of its project."""
        return self._get(Tenant, project_id)

    def onboard_tenant(self, project_id: str, **fields: Any) -> Tenant:
        """Makes a project a tenant; if it is one, changes the given fields."""
        return self._change(project_id, "PUT", fields)

    def update_tenant(self, project_id: str, **fields: Any) -> Tenant:
        """Changes the specification of a tenant."""
        return self._change(project_id, "PATCH", fields)

    def suspend_tenant(self, project_id: str, reason: str) -> Tenant:
        """Stops all functions of a tenant, and rejects its calls."""
        return self._change(project_id, "PATCH", {"suspended": reason})

    def resume_tenant(self, project_id: str) -> Tenant:
        """Ends a suspension."""
        return self._change(project_id, "PATCH", {"suspended": None})

    def offboard_tenant(self, project_id: str, *, confirm: bool = False, grace_seconds: int | None = None) -> Tenant:
        """Requests the removal of a tenant; with `confirm`, after the grace period, confirms it."""
        query = {"confirm": "true"} if confirm else {}
        query.update({} if grace_seconds is None else {"grace_seconds": str(grace_seconds)})
        return self._change(project_id, "DELETE", None, **query)

    def keep_tenant(self, project_id: str) -> Tenant:
        """Cancels the requested removal of a tenant."""
        return self._change(project_id, "PATCH", {"offboarding": None})

    def _change(self, project_id: str, method: str, fields: dict[str, Any] | None, **query: str) -> Tenant:
        return Tenant.new(id=project_id).change(self, method, fields, **query)

    def _previous(self, name: str) -> str:
        found = [revision.to_dict() for revision in self.revisions(name)]
        try:
            return previous_revision(found, name)
        except CommandError as error:
            raise exceptions.InvalidRequest(str(error)) from error

    def _base(self) -> str:
        return str(self.get_endpoint() or "").rstrip("/")

    def _login(self) -> Login:
        """What the lean client works with."""
        swift = self.session.get_endpoint(
            service_type="object-store", interface=self.interface, region_name=self.region_name
        )
        access = cast("BaseIdentityPlugin", self.session.auth).get_access(self.session)
        verify = self.session.verify
        assert access.issued
        assert access.expires
        return Login(
            token=str(access.auth_token),
            issued_at=access.issued.timestamp(),
            expires_at=access.expires.timestamp(),
            gateway=self._base().removesuffix(_VERSION),
            swift=str(swift).rstrip("/") if swift else None,
            s3=None,
            verify=verify if isinstance(verify, (bool, str)) else True,
        )


def _name(function: str | Function) -> str:
    return function if isinstance(function, str) else function.name


def _id(sweep: str | Sweep) -> str:
    return sweep if isinstance(sweep, str) else str(sweep.id)


def _checksum(line: Mapping[str, Any]) -> Checksum:
    error = line.get("error")
    return Checksum(
        container=line["container"],
        object=line["object"],
        digests=line.get("digests", {}),
        etag=line.get("etag"),
        size=line.get("size"),
        stored=bool(line.get("stored")),
        error=error["message"] if error else None,
    )
