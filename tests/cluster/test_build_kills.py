"""Kills at each stage of a deployment: it completes, or says what to do, and nothing half-made stays."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from typing import Any, Self

import pytest

from policies.own_build import PULL_SECRET
from tests.cluster.commands import wait_until
from tests.cluster.product import SYSTEM
from tests.cluster.progress import say
from tests.cluster.test_function_builds import MEMBER, SIZE, Developer, developer  # noqa: F401 - a fixture

# osfaas-build's own lines; `pending` is before the first one.
STAGES = ("pending", "fetch", "check", "resolve", "assemble")
VICTIMS = ("build", "controller", "functions-api", "registry")

pytestmark = pytest.mark.timeout(900)


class Deployment:
    """One `osfaas function deploy`, in a thread of its own."""

    def __init__(self, developer: Developer, name: str) -> None:  # noqa: F811
        self._developer, self._name = developer, name
        self.done: subprocess.CompletedProcess[str] | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _run(self) -> None:
        self.done = self._developer.function("deploy", self._name, *SIZE, check=False)


def build_pods(developer: Developer, name: str) -> list[dict[str, Any]]:  # noqa: F811
    selector = f"osfaas.dev/build={name}"
    kubectl = developer.product.cluster.kubectl
    found: list[dict[str, Any]] = kubectl.get("pods", "-n", developer.namespace, "-l", selector)["items"]
    return found


def has_passed(developer: Developer, name: str, stage: str) -> bool:  # noqa: F811
    """Whether a build of the function has come to a stage, or further."""
    pods = build_pods(developer, name)
    if stage == "pending" or not pods:
        return bool(pods)
    pod = pods[-1]["metadata"]["name"]
    command = [*developer.product.cluster.kubectl.words, "logs", "-n", developer.namespace, pod]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    seen = [json.loads(line).get("stage") for line in said.splitlines() if line.startswith("{")]
    return stage in seen


def kill(developer: Developer, name: str, victim: str) -> None:  # noqa: F811
    kubectl = developer.product.cluster.kubectl
    selector: tuple[str, ...]
    if victim == "build":
        selector = ("-n", developer.namespace, "-l", f"osfaas.dev/build={name}")
    elif victim == "registry":
        developer.site.restart_registry()
        return
    else:
        selector = ("-n", SYSTEM, "-l", f"app.kubernetes.io/name=osfaas-{victim}")
    kubectl("delete", "pods", *selector, "--force", "--grace-period=0")


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_during_a_deployment(developer: Developer, victim: str, stage: str) -> None:  # noqa: F811
    name = f"{victim[:4]}-{stage}"
    word = f"{victim} at {stage}"
    program = f"def main(request):\n    return '{word}'\n"
    developer.write(name, main_py=program, requirements_txt="Pillow==13.0.0\n")
    started = time.monotonic()
    with Deployment(developer, name) as deployment:
        wait_until(f"the build is at {stage}", lambda: has_passed(developer, name, stage), seconds=120)
        kill(developer, name, victim)
    assert deployment.done is not None
    say(f"{word}: exit code {deployment.done.returncode} after {time.monotonic() - started:.1f} s")
    if deployment.done.returncode:
        # It says what to do, and doing that is enough.
        said = deployment.done.stderr
        say(said)
        assert any(hint in said for hint in ("gain", "continues", "shortly", "cannot be reached")), said
        again = developer.function("deploy", name, "--again", *SIZE, check=False)
        assert again.returncode == 0, again.stderr
    with developer.product.caller(MEMBER) as caller:
        wait_until("it answers", lambda: caller.get(f"/v1/invoke/{name}/").text == word, seconds=60)
    _nothing_stays(developer, name)
    developer.function("delete", name, "--yes")
    wait_until("its Jobs are gone", lambda: not developer.jobs(name), seconds=60)


def _nothing_stays(developer: Developer, name: str) -> None:  # noqa: F811
    """One Job, whose result is known, and no credential to push."""
    kubectl = developer.product.cluster.kubectl

    def at_rest() -> bool:
        words = ("get", "secrets", "-n", developer.namespace, "-o", "jsonpath={.items[*].metadata.name}")
        return set(kubectl(*words).split()) == {PULL_SECRET} and len(developer.jobs(name)) <= 1

    wait_until("nothing half-made is left", at_rest, seconds=60)
    repository = f"{developer.project}/{name}"
    digest = developer.show(name)["status"]["image_digest"]
    token = developer.site.token(repository, "pull")
    # The image and, by the tag of its digest, its bill of materials.
    for reference in (digest, digest.replace(":", "-")):
        assert developer.site.ask(f"{repository}/manifests/{reference}", token).status_code == 200
