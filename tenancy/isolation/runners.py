"""Runs probes: in a pod by exec, or at the Kubernetes API as the tenant's user."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import urllib3
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream
from kubernetes.stream.ws_client import ERROR_CHANNEL
from websocket import WebSocketException

from tenancy.isolation.attack import Evidence, Outcome, PodProbe, Request
from tenancy.isolation.pods import probe_command

CONNECT_SECONDS = 3.0
# Longer than any probe takes.
_EXEC_SECONDS = 120
_TIMED = frozenset(["connect", "flood"])
_OK, _CLIENT_ERROR, _SERVER_ERROR = 200, 400, 500
_MERGE_PATCH, _JSON = "application/merge-patch+json", "application/json"


@dataclass(frozen=True, slots=True)
class PodName:
    """A pod that carries the probe program."""

    namespace: str
    name: str


def run_in_pod(configuration: client.Configuration, pod: PodName, probes: Sequence[PodProbe]) -> tuple[Evidence, ...]:
    """Runs all probes concurrently inside a pod; if the exec fails, all of them are broken."""
    if not probes:
        return ()
    line = json.dumps([_encoded(probe) for probe in probes])
    try:
        printed = _run(configuration, pod, line)
        answers = json.loads(printed)
    except (ApiException, WebSocketException, OSError, ValueError) as error:
        return tuple(Evidence(Outcome.BROKEN, f"the probe pod did not respond: {error}"[:300]) for _ in probes)
    return tuple(Evidence(Outcome(outcome), detail) for outcome, detail in answers)


def _encoded(probe: PodProbe) -> dict[str, Any]:
    kind = type(probe).__name__.lower()
    return {"kind": kind, **asdict(probe), **({"seconds": CONNECT_SECONDS} if kind in _TIMED else {})}


def _run(configuration: client.Configuration, pod: PodName, line: str) -> str:
    # A separate client: `stream` modifies the one that it is given.
    core = client.CoreV1Api(client.ApiClient(configuration))
    session = stream(
        core.connect_get_namespaced_pod_exec,
        pod.name,
        pod.namespace,
        container="probe",
        command=probe_command("ask"),
        stdin=True,
        stdout=True,
        stderr=True,
        tty=False,
        _preload_content=False,
    )
    try:
        session.write_stdin(line + "\n")
        session.run_forever(timeout=_EXEC_SECONDS)
        printed, complaints = session.read_stdout(), session.read_stderr()
        if not printed:
            raise ValueError(complaints or session.read_channel(ERROR_CHANNEL) or "no output")
    finally:
        session.close()
    return str(printed)


class TenantUser:
    """A user of the Kubernetes API by impersonation, with the permissions of its RoleBindings."""

    def __init__(self, configuration: client.Configuration, user: str) -> None:
        self._client = client.ApiClient(configuration)
        self._client.set_default_header("Impersonate-User", user)  # type: ignore[no-untyped-call]
        self._client.set_default_header("Impersonate-Group", "system:authenticated")  # type: ignore[no-untyped-call]

    def send(self, request: Request) -> Evidence:
        """Sends the request as a server-side dry run."""
        reads = request.method == "GET"
        prepared = self._client.param_serialize(
            request.method,
            request.path,
            query_params=[("limit", "1")] if reads else [("dryRun", "All"), ("fieldValidation", "Strict")],
            header_params={
                "Accept": _JSON,
                "Content-Type": _MERGE_PATCH if request.method == "PATCH" else _JSON,
            },
            body=None if reads else request.body,
            auth_settings=["BearerToken"],
        )
        try:
            response = self._client.call_api(*prepared, _request_timeout=(5, 30)).response
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            return Evidence(Outcome.BROKEN, str(error)[:300])
        return evaluate_reply(request, response.status, response.data.decode(errors="replace"))


def evaluate_reply(request: Request, status: int, body: str) -> Evidence:
    """Classifies a reply as answered, as refused for one of the request's reasons, or as broken."""
    if _OK <= status < _CLIENT_ERROR:
        return _admitted(request, status, json.loads(body))
    try:
        message = str(json.loads(body)["message"])
    except (KeyError, TypeError, ValueError):
        message = body
    detail = f"{status}: {' '.join(message.split())[:300]}"
    refused = status < _SERVER_ERROR and any(reason in message for reason in request.refused_with)
    return Evidence(Outcome.REFUSED if refused else Outcome.BROKEN, detail)


def _admitted(request: Request, status: int, result: Any) -> Evidence:
    wanted, got = _field(request.body, request.unchanged_field), _field(result, request.unchanged_field)
    if request.unchanged_field and wanted != got:
        return Evidence(
            Outcome.REFUSED, f"{status}: admitted, but with {'.'.join(request.unchanged_field)} {got} for {wanted}"
        )
    return Evidence(Outcome.ANSWERED, f"{status}: {request.method} {request.path} was admitted")


def _field(manifest: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        manifest = manifest.get(name) if isinstance(manifest, dict) else None
    return manifest
