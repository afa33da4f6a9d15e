"""The images, built from their real Dockerfiles over a base without bytecode, as the official Python images are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.commands import wait_until
from tests.cluster.product import CHECKSUMS_IMAGE

if TYPE_CHECKING:
    from tests.cluster.testbed import Testbed

GATEWAY_IMAGE = "dev.local/osfaas-gateway:test"
# Imports what the program imports, then names each module whose bytecode is not there.
_NAME_UNCOMPILED = """
import os, sys
{imports}
loaded = [(name, getattr(module, "__cached__", None)) for name, module in sorted(sys.modules.items())]
compiled = [cached for _, cached in loaded if cached]
assert len(compiled) > 100, compiled
print("without bytecode:", [name for name, cached in loaded if cached and not os.path.exists(cached)])
"""
_FUNCTION = "import checksums_function.__main__ as function; function.preload()"
_GATEWAY = (
    "import client.cli, gateway.commands, gateway.server.serve, control.serve, control.functions.serve,"
    " tenancy.controller.controller"
)


@pytest.mark.parametrize(
    ("image", "imports"),
    [(CHECKSUMS_IMAGE, _FUNCTION), (GATEWAY_IMAGE, _GATEWAY)],
    ids=["function", "gateway"],
)
def test_nothing_is_compiled_when_a_program_starts(cluster: Testbed, image: str, imports: str) -> None:
    """A pod may not write to its image: what is not compiled there would be compiled at every start."""
    script = _NAME_UNCOMPILED.format(imports=imports)
    with cluster.namespace("images") as namespace:
        where = ("-n", namespace)
        pod = (f"--image={image}", "--image-pull-policy=IfNotPresent", "--restart=Never")
        cluster.kubectl("run", "starts", *where, *pod, "--command", "--", "python", "-c", script)
        phase = ("get", "pod", "starts", *where, "-o", "jsonpath={.status.phase}")
        wait_until("the end of the program", lambda: cluster.kubectl(*phase) in {"Succeeded", "Failed"}, seconds=90)
        assert cluster.kubectl("logs", "starts", *where).splitlines()[-1] == "without bytecode: []"
