"""Asking the questions of attacks: in a pod by exec, or of the Kubernetes API as the tenant's user."""

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

from tenancy.isolation.attack import Connect, Evidence, Outcome, Read, Request, Resolve
from tenancy.isolation.pods import probe_command

CONNECT_SECONDS = 3.0
_ALL_SECONDS = 60
_OK, _CLIENT_ERROR, _SERVER_ERROR = 200, 400, 500
_MERGE_PATCH, _JSON = "application/merge-patch+json", "application/json"

InPod = Connect | Resolve | Read


@dataclass(frozen=True, slots=True)
class PodName:
    """A pod in which the probe's program is."""

    namespace: str
    name: str


def ask_in_pod(configuration: client.Configuration, pod: PodName, questions: Sequence[InPod]) -> tuple[Evidence, ...]:
    """Asks all at once from inside a pod; when that fails as a whole, every one of them is broken."""
    if not questions:
        return ()
    told = json.dumps([_question(question) for question in questions])
    try:
        printed = _run(configuration, pod, told)
        answers = json.loads(printed)
    except (ApiException, WebSocketException, OSError, ValueError) as error:
        return tuple(Evidence(Outcome.BROKEN, f"the probe pod did not answer: {error}"[:300]) for _ in questions)
    return tuple(Evidence(Outcome(outcome), said) for outcome, said in answers)


def _question(question: InPod) -> dict[str, Any]:
    kind = type(question).__name__.lower()
    return {"kind": kind, **asdict(question), **({"seconds": CONNECT_SECONDS} if kind == "connect" else {})}


def _run(configuration: client.Configuration, pod: PodName, line: str) -> str:
    # A client of its own: `stream` changes the one that it is given while it runs.
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
        session.run_forever(timeout=_ALL_SECONDS)
        printed, complaints = session.read_stdout(), session.read_stderr()
        if not printed:
            raise ValueError(complaints or session.read_channel(ERROR_CHANNEL) or "it said nothing")
    finally:
        session.close()
    return str(printed)


class TenantUser:
    """A user of the Kubernetes API, by impersonation; has the rights that a RoleBinding gives it."""

    def __init__(self, configuration: client.Configuration, user: str) -> None:
        self._client = client.ApiClient(configuration)
        self._client.set_default_header("Impersonate-User", user)  # type: ignore[no-untyped-call]
        self._client.set_default_header("Impersonate-Group", "system:authenticated")  # type: ignore[no-untyped-call]

    def ask(self, request: Request) -> Evidence:
        """Sends the request as a server-side dry run."""
        prepared = self._client.param_serialize(
            request.method,
            request.path,
            query_params=[("dryRun", "All"), ("fieldValidation", "Strict")],
            header_params={
                "Accept": _JSON,
                "Content-Type": _MERGE_PATCH if request.method == "PATCH" else _JSON,
            },
            body=request.body,
            auth_settings=["BearerToken"],
        )
        try:
            response = self._client.call_api(*prepared, _request_timeout=(5, 30)).response
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            return Evidence(Outcome.BROKEN, str(error)[:300])
        return judge_reply(request, response.status, response.data.decode(errors="replace"))


def judge_reply(request: Request, status: int, body: str) -> Evidence:
    """An answer, a refusal for one of the reasons that the request names, or something that proves nothing."""
    if _OK <= status < _CLIENT_ERROR:
        return _admitted(request, status, json.loads(body))
    try:
        message = str(json.loads(body)["message"])
    except (KeyError, TypeError, ValueError):
        message = body
    said = f"{status}: {' '.join(message.split())[:300]}"
    refused = status < _SERVER_ERROR and any(reason in message for reason in request.refused_with)
    return Evidence(Outcome.REFUSED if refused else Outcome.BROKEN, said)


def _admitted(request: Request, status: int, result: Any) -> Evidence:
    wanted, got = _field(request.body, request.kept), _field(result, request.kept)
    if request.kept and wanted != got:
        return Evidence(Outcome.REFUSED, f"{status}: admitted, but with {'.'.join(request.kept)} {got} for {wanted}")
    return Evidence(Outcome.ANSWERED, f"{status}: {request.method} {request.path} was admitted")


def _field(manifest: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        manifest = manifest.get(name) if isinstance(manifest, dict) else None
    return manifest
