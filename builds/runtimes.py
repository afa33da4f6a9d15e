"""Which runtime a folder is for. The file says it, so that nothing has to be declared."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from builds.errors import RuntimeNotFoundError

# In the package of each runtime: what its base image has installed, by version and hash.
CONSTRAINTS = "constraints.txt"
_PIN = re.compile(r"^(?!setuptools==)[\w.-]+==[^\s\\]+(?: ; [^\\\n]+?)?(?= \\$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime of functions.

    Attributes:
        name: as in `osfaas function init --runtime` and in the label of its base image.
        file: the file at the top of a folder that selects it.
        module: the package that serves the function.
        convention: what the file has to define, for people.
    """

    name: str
    file: str
    module: str
    convention: str


FRAMEWORK = Runtime("framework", "main.py", "framework_runtime", "main(request), as functions-framework calls it")
ASGI = Runtime("asgi", "func.py", "asgi_runtime", "handle(scope, receive, send), as Knative's func calls it")
RUNTIMES = (FRAMEWORK, ASGI)


def detect_runtime(files: Collection[str]) -> Runtime:
    """The runtime of a folder.

    Args:
        files: names of the files of the folder, relative to it, with `/` between the parts.

    Raises:
        RuntimeNotFoundError: none of the runtimes' files is at the top of the folder, or more than one.
    """
    found = [runtime for runtime in RUNTIMES if runtime.file in files]
    if len(found) == 1:
        return found[0]
    choice = " or ".join(f"{runtime.file} with {runtime.convention}" for runtime in RUNTIMES)
    if found:
        names = " and ".join(runtime.file for runtime in found)
        raise RuntimeNotFoundError(f"The folder has {names}, which are for different runtimes. Keep one: {choice}.")
    nested = sorted(name for name in files if name.rpartition("/")[2] in {runtime.file for runtime in RUNTIMES})
    hint = f" {nested[0]} is in a subfolder; it belongs at the top." if nested else ""
    raise RuntimeNotFoundError(f"The folder has no function. Add {choice}.{hint}")


def package_of(runtime: Runtime) -> Path:
    """The folder of a runtime's package, without importing it: its dependencies are installed elsewhere.

    Raises:
        RuntimeNotFoundError: this installation lacks it.
    """
    spec = util.find_spec(runtime.module)
    if spec is None or spec.origin is None:
        raise RuntimeNotFoundError(f"This installation lacks the runtime '{runtime.name}'. Install osfaas again.")
    return Path(spec.origin).parent


def pins_of(locked: str) -> str:
    """The versions of a locked file without hashes: constraints for the packages of a function beside the runtime."""
    return "".join(f"{pin}\n" for pin in _PIN.findall(locked))
