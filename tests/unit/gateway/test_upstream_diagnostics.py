"""A silent function's problem, told to its caller."""

import pytest

from gateway.errors import ErrorCode, GatewayError
from gateway.upstream.diagnostics import FunctionDiagnostics, error_for
from policies.names import NamespaceName, ProjectId
from tenancy.directory.protocol import FunctionAddress, FunctionProblem, Tenant
from tenancy.model.errors import NotOnboardedError
from tenancy.model.reasons import PERMANENT_REASONS

PROJECT = ProjectId("p")
SILENT = GatewayError(ErrorCode.FUNCTION_UNREACHABLE, function="f")


class Directory:
    def __init__(self, problem: FunctionProblem | None, *, gone: bool = False) -> None:
        self.problem = problem
        self.gone = gone

    def tenant_of(self, project_id: ProjectId) -> Tenant:
        if self.gone:
            raise NotOnboardedError(project_id)
        address = FunctionAddress("http://i.test", "f.faas-p", callable=True, problem=self.problem)
        return Tenant(PROJECT, NamespaceName("faas-p"), {"f": address})

    def sync_age_seconds(self) -> float | None:
        return 0.0


@pytest.mark.parametrize("kind", [ErrorCode.OBJECT_CHANGED, ErrorCode.FUNCTION_BUSY, ErrorCode.TOKEN_INVALID])
def test_failure_with_a_reason_of_its_own_keeps_it(kind: ErrorCode) -> None:
    error = GatewayError(kind, function="f")
    assert (
        FunctionDiagnostics(Directory(FunctionProblem("ExceededQuota", "full"))).with_diagnosis(error, PROJECT, "f")
        is error
    )


@pytest.mark.parametrize("directory", [Directory(None), Directory(FunctionProblem("X", "y"), gone=True)])
def test_without_a_known_problem_silence_stays_silence(directory: Directory) -> None:
    assert FunctionDiagnostics(directory).with_diagnosis(SILENT, PROJECT, "f") is SILENT
    assert FunctionDiagnostics(directory).with_diagnosis(SILENT, PROJECT, "other") is SILENT
    assert FunctionDiagnostics(directory).permanent_failure(PROJECT, "f")() is None


def test_quota_is_429_and_says_when_to_come_back() -> None:
    error = FunctionDiagnostics(Directory(FunctionProblem("ExceededQuota", "no capacity for its pod."))).with_diagnosis(
        SILENT, PROJECT, "f"
    )
    assert (error.kind, error.kind.status) == (ErrorCode.FUNCTION_QUOTA_EXCEEDED, 429)
    assert "no capacity for its pod." in error.message
    assert error.retry_after_seconds


@pytest.mark.parametrize(
    "reason", ["ImagePullBackOff", "CrashLoopBackOff", "Unschedulable", "NotReady", "RevisionFailed"]
)
def test_every_other_problem_is_503_with_its_words_or_its_name(reason: str) -> None:
    assert error_for(FunctionProblem(reason, "in words"), "f").message == "The function 'f' is not running: in words."
    bare = error_for(FunctionProblem(reason, ""), "f")
    assert bare.kind is ErrorCode.FUNCTION_NOT_RUNNING
    assert len(bare.message) > len("The function 'f' does not run: .")


def test_only_what_waiting_does_not_end_ends_the_waiting() -> None:
    for reason in (*PERMANENT_REASONS, "NotReady", "RevisionFailed"):
        verdict = FunctionDiagnostics(Directory(FunctionProblem(reason, "x"))).permanent_failure(PROJECT, "f")()
        assert (verdict is not None) == (reason in PERMANENT_REASONS)


def test_words_from_the_cluster_are_bounded_and_printable() -> None:
    message = error_for(FunctionProblem("NotReady", "a\r\nb\x00" + "c" * 1000), "f").message
    assert message.isprintable()
    assert len(message) < 400
