"""`conn.function`: the gateway for programs that use openstacksdk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from keystoneauth1.identity.base import BaseIdentityPlugin
from openstack import exceptions
from requests import Response

from client.errors import CommandError, TokenRefusedError
from client.exchange import RetryPolicy
from client.functions.invoke import Invocation, target_of
from client.functions.revisions import previous_revision
from client.functions.waiting import NotReadyInTimeError, Wait, wait_until_ready
from client.info import Info, info_of
from client.listing import ListQuery, digests_of
from client.location import Location
from client.login import Login
from client.operations.api import id_in
from client.sdk.base import VERSION
from client.sdk.function import Function, FunctionLog, Revision, name_of
from client.sdk.operation import Operation
from client.sdk.operations_proxy import OperationsProxy
from client.sdk.tenants_proxy import TenantsProxy
from client.sdk.triggers_proxy import TriggersProxy
from client.sdk.usage import Usage
from client.sdk.values import Checksum, Limit, limits_of

_RETRY_SECONDS = 120.0
_FIRST_ERROR = 400
_DOTS = frozenset({".", ".."})


class Proxy(TriggersProxy, OperationsProxy, TenantsProxy):
    """Functions, triggers, secrets, operations, checksums, limits, usage and, for administrators, tenants.

    Every method raises exceptions of `openstack.exceptions`, with the sentence of the service.
    """

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
        name = name_of(function)
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
        name = name_of(function)

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
        found: Iterator[Revision] = self._list(Revision, function=name_of(function))
        return found

    def logs(self, function: str | Function, *, tail: int = 100) -> Iterator[FunctionLog]:
        """The ends of the outputs of a function's containers."""
        found: Iterator[FunctionLog] = self._list(FunctionLog, function=name_of(function), tail=tail)
        return found

    def set_traffic(self, function: str | Function, shares: Sequence[Mapping[str, Any]] | None) -> Function:
        """Shares the calls between revisions; None: all go to the latest ready one."""
        return self.update_function(function, traffic=None if shares is None else [dict(each) for each in shares])

    def rollback_function(self, function: str | Function, revision: str | None = None) -> Function:
        """Sends all calls to an earlier revision; None: the one before the present one."""
        chosen = revision or self._previous(name_of(function))
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
        call = Invocation(name_of(function), path, tuple(inputs), tuple(outputs), overwrite)
        try:
            target = target_of(call)
        except CommandError as error:
            raise exceptions.InvalidRequest(str(error)) from error
        answer = self.reply(target, method, data=data, headers=dict(headers or {}), stream=stream)
        # Only the gateway's own errors say `no-store` without `private`.
        if answer.status_code >= _FIRST_ERROR and answer.headers.get("Cache-Control") == "no-store":
            exceptions.raise_from_response(answer)
        return answer

    def start_invocation(self, function: str | Function, path: str = "", **call: Any) -> Operation:
        """Lets a worker call a function later; returns the operation, which has the reply in the end.

        Args:
            function: or its name, or `name@tag`.
            path: of the call, with its query.
            call: as for `invoke`.
        """
        headers = {**(call.pop("headers", None) or {}), "Prefer": "respond-async"}
        answer = self.invoke(function, path, headers=headers, **call)
        exceptions.raise_from_response(answer)
        try:
            id_in(answer.headers.get("Location"))
        except CommandError as error:
            raise exceptions.SDKException(str(error)) from error
        return Operation.existing(connection=self._get_connection(), **answer.json())

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

    # --- limits and usage ---

    def limits(self) -> Iterator[Limit]:
        """The limits of the project, with their usage and their sources."""
        answer = self.get("/v1/limits")
        exceptions.raise_from_response(answer)
        yield from limits_of(answer.json())

    def usage(
        self,
        *,
        start: str | None = None,
        end: str | None = None,
        groups: Sequence[str] = (),
        project_id: str | None = None,
        **query: Any,
    ) -> Iterator[Usage]:
        """What the project has used, page by page as it is consumed.

        Args:
            start: date or time (ISO 8601, UTC); None: the beginning of the month.
            end: likewise, excluded; None: now.
            groups: one sum for each; some of `client.usage.GROUPS`. None: one sum of everything.
            project_id: of this project; for administrators, at their own endpoint, which has all projects.
            query: `limit` is the size of a page.
        """
        given = {"start": start, "end": end, "group_by": ",".join(groups) or None, "project_id": project_id}
        chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        found: Iterator[Usage] = self._list(Usage, **chosen, **query)
        return found

    def _previous(self, name: str) -> str:
        found = [revision.to_dict() for revision in self.revisions(name)]
        try:
            return previous_revision(found, name)
        except CommandError as error:
            raise exceptions.InvalidRequest(str(error)) from error

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
            gateway=self._base().removesuffix(VERSION),
            swift=str(swift).rstrip("/") if swift else None,
            s3=None,
            verify=verify if isinstance(verify, (bool, str)) else True,
        )

    # --- the service ---

    def info(self) -> Info:
        """What the service offers: algorithms, optional parts, limits of requests."""
        answer = self.get("/v1/info")
        exceptions.raise_from_response(answer)
        return info_of(answer.json())


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
