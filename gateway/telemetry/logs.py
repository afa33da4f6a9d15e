"""Log lines as text or JSON, without secrets.

No code logs a token or a signed URL on purpose. But errors of HTTP libraries may contain URLs, and tracebacks their
arguments, so each line is filtered before it is written.
"""

import json
import logging
import re
import time
from typing import Literal

LogFormat = Literal["text", "json"]

# Loggers whose messages are already JSON.
_STRUCTURED = frozenset(["gateway.access", "gateway.audit"])
_HIDDEN = "***"
_SECRETS = re.compile(
    # Parameters of signed URLs: Swift's TempURL, S3's presigned GET in both versions.
    r"(?P<kept>\b(?:temp_url_sig|x-amz-signature|x-amz-credential|x-amz-security-token|awsaccesskeyid|signature)"
    r"(?:=|%3D))[^&\s\"'\\<>]+"
    # Header fields with a credential, as written in a dictionary, a list of pairs or a head, also within a JSON string.
    # A quoted value ends with its quote: keys of TempURLs may contain blanks.
    r"|(?P<field>\b(?:x-auth-token|x-subject-token|x-service-token|x-storage-token|authorization"
    r"|x-(?:account|container)-meta-temp-url-key(?:-2)?)"
    r"(?:\\?[\"'])?\s*[:=,]\s*(?:b(?=[\"']))?(?:\\?[\"'])?(?:bearer\s+|basic\s+|aws4-hmac-sha256\s+)?)"
    r"(?:(?<=')[^'\n]+|(?<=\")[^\"\n]+|[^\s\"',}\]]+)"
    # Passwords in URLs.
    r"|(?P<scheme>://[^\s/:@\"']{0,64}:)[^\s/@\"']{1,256}(?=@)"
    # Fernet and JWS tokens, anywhere.
    r"|gAAAA[A-Za-z0-9_\-]{20,}(?:=|%3D)*"
    r"|(?<![A-Za-z0-9_\-])eyJ[A-Za-z0-9_\-]{8,}+\.[A-Za-z0-9_\-]{8,}+\.[A-Za-z0-9_\-]{20,}",
    re.IGNORECASE,
)


# In lower case: every match of the expression in ASCII contains one of these. Few lines do, and the expression takes
# thirty times as long to find nothing.
_HINTS = (
    *("temp_url_sig", "x-amz-", "awsaccesskeyid", "signature"),
    *("x-auth-token", "x-subject-token", "x-service-token", "x-storage-token", "authorization"),
    *("-meta-temp-url-key", "://", "gaaaa", "eyj"),
)


def without_secrets(text: str) -> str:
    """The text with asterisks in place of tokens, signatures and passwords."""
    small = text.lower()
    if text.isascii() and not any(hint in small for hint in _HINTS):
        return text
    return _SECRETS.sub(
        lambda match: (match["kept"] or match["field"] or match["scheme"] or "") + _HIDDEN,
        text,
    )


class _CachedTime(logging.Formatter):
    """Formats the time once a second: the time zone is looked up in a file each time."""

    _second: tuple[int, str] = (-1, "")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - of logging
        second = int(record.created)
        if self._second[0] != second:
            self._second = (second, time.strftime(datefmt or "%Y-%m-%d %H:%M:%S", self.converter(record.created)))
        return self._second[1] if datefmt else f"{self._second[1]},{record.msecs:03.0f}"


class TextLines(_CachedTime):
    """Date, level, logger and message; a traceback follows on separate lines."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


class JsonLines(_CachedTime):
    """One JSON object per line: `time` (UTC), `level`, `logger`, and `message` or the fields of a structured line."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        moment = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        known = {"time": f"{moment}.{record.msecs:03.0f}Z", "level": record.levelname, "logger": record.name}
        if record.name in _STRUCTURED and message.startswith("{"):
            return without_secrets(f"{json.dumps(known)[:-1]}, {message[1:]}")
        line = {**known, "message": without_secrets(message)}
        if record.exc_info:
            line["traceback"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(line)


def configure_logging(log_format: LogFormat = "text") -> None:
    """Configures logging to standard error, from INFO up; a second call changes the format."""
    formatter = JsonLines() if log_format == "json" else TextLines()
    logging.basicConfig(level=logging.INFO)
    # No log line contains these (Python's logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for handler in logging.getLogger().handlers:
        handler.setFormatter(formatter)
    for noisy in ("httpx", "keystoneauth", "openstack", "stevedore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
