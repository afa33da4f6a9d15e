"""`osfaas-build`: builds an image of a function. Settings come from the environment."""

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from builds.archive.limits import ArchiveLimits
from builds.build import BuildOrder, build
from builds.dependencies import Index
from builds.errors import BuildError, TemporaryError
from builds.registry import Login, Registry

# As sysexits.h has them. A Job's podFailurePolicy tells by them whether another attempt makes sense.
EXIT_REFUSED, EXIT_SETTINGS, EXIT_TEMPORARY = 65, 64, 75
_SECONDS = 60.0
# Kubernetes keeps 4,096 bytes.
_RESULT_CHARACTERS = 1_500


class SettingsError(ValueError):
    """A variable is missing or has an invalid value."""


def main() -> int:
    """Builds one image.

    Returns:
        Exit status: 0 built and pushed, 64 settings are wrong, 65 what was given cannot be built, 75 a server did not
        answer and another attempt may succeed.
    """
    try:
        order, url, login = settings_of(os.environ)
    except SettingsError as error:
        return _end(EXIT_SETTINGS, str(error))
    base_scopes = [f"repository:{base.partition('@')[0]}:pull" for base in order.bases.values()]
    scopes = (f"repository:{order.repository}:pull,push", *dict.fromkeys(base_scopes))
    verify = os.environ.get("OSFAAS_BUILD_CA_FILE") or True
    with (
        httpx.Client(timeout=_SECONDS, verify=verify, trust_env=False) as http,
        tempfile.TemporaryDirectory(prefix="osfaas-build-") as scratch,
    ):
        registry, report = Registry(url, login, http, scopes=scopes), _Report()
        try:
            digest = build(order, registry, http, Path(scratch), report)
        except TemporaryError as error:
            return _end(EXIT_TEMPORARY, str(error), report.facts)
        except BuildError as error:
            return _end(EXIT_REFUSED, str(error), report.facts)
    report({"stage": "done", "image": f"{order.repository}@{digest}", "digest": digest})
    _write_result({"digest": digest, "runtime": report.facts.get("runtime", "")})
    return 0


def settings_of(environ: Mapping[str, str]) -> tuple[BuildOrder, str, Login | None]:
    """What to build, the registry's URL, and the credential for it.

    Raises:
        SettingsError: names the variable.
    """
    bases = {}
    for entry in _needed(environ, "OSFAAS_BUILD_BASES").split(","):
        runtime, equals, reference = entry.strip().partition("=")
        if not equals:
            raise SettingsError(f"OSFAAS_BUILD_BASES needs runtime=repository@digest entries, not {entry!r}.")
        bases[runtime] = reference
    index = Index(
        url=_needed(environ, "OSFAAS_BUILD_INDEX_URL"),
        source_distributions=_flag(environ, "OSFAAS_BUILD_SOURCE_DISTRIBUTIONS"),
        timeout_seconds=_integer(environ, "OSFAAS_BUILD_TIMEOUT_SECONDS", 300),
    )
    order = BuildOrder(
        source=_needed(environ, "OSFAAS_BUILD_SOURCE"),
        source_etag=environ.get("OSFAAS_BUILD_SOURCE_ETAG", ""),
        repository=_needed(environ, "OSFAAS_BUILD_REPOSITORY"),
        bases=bases,
        index=index,
        limits=ArchiveLimits(
            archive_bytes=_integer(environ, "OSFAAS_BUILD_ARCHIVE_MAX_BYTES", ArchiveLimits().archive_bytes)
        ),
    )
    return order, _needed(environ, "OSFAAS_BUILD_REGISTRY_URL"), _login(environ)


def _login(environ: Mapping[str, str]) -> Login | None:
    """From a file, which a Secret is mounted as: `user:password`."""
    path = environ.get("OSFAAS_BUILD_CREDENTIAL_FILE")
    if not path:
        return None
    try:
        user, colon, password = Path(path).read_text(encoding="utf-8").strip().partition(":")
    except OSError as error:
        raise SettingsError(f"OSFAAS_BUILD_CREDENTIAL_FILE cannot be read: {error.strerror}.") from error
    if not colon:
        raise SettingsError("The file of OSFAAS_BUILD_CREDENTIAL_FILE needs user:password.")
    return Login(user=user, password=password, token_url=_needed(environ, "OSFAAS_BUILD_TOKEN_URL"))


def _needed(environ: Mapping[str, str], name: str) -> str:
    if not (value := environ.get(name, "")):
        raise SettingsError(f"{name} is not set.")
    return value


def _flag(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name, "false").lower()
    if text not in {"true", "false"}:
        raise SettingsError(f"{name} must be true or false, not {text!r}.")
    return text == "true"


def _integer(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 12 and int(text)):  # noqa: PLR2004
        raise SettingsError(f"{name} must be a whole number above 0, not {text!r}.")
    return int(text)


class _Report:
    """Prints a line for each stage, and keeps what the stages said."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}

    def __call__(self, line: Mapping[str, Any]) -> None:
        self.facts |= line
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def _end(status: int, sentence: str, facts: Mapping[str, Any] = MappingProxyType({})) -> int:
    sys.stderr.write(f"osfaas-build: {sentence}\n")
    _write_result({"error": sentence[:_RESULT_CHARACTERS], "stage": facts.get("stage", "")})
    return status


def _write_result(result: Mapping[str, Any]) -> None:
    """For the platform: Kubernetes keeps the file as the message of a container that ended."""
    path = os.environ.get("OSFAAS_BUILD_RESULT_FILE")
    if path:
        Path(path).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
