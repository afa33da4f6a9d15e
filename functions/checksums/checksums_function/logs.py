"""JSON log lines, one for each computation; never with a URL's query."""

from __future__ import annotations

import json
import logging
import sys
import traceback

logger = logging.getLogger("checksums_function")


class JsonLines(logging.Formatter):
    """A log record as one line. Fields are passed as `extra={"fields": {…}}`.

    Only the type and the code locations of an exception are written, never its text, which may contain a signed URL.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            line["at"] = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(record.exc_info[2])][-8:]
        return json.dumps(line, default=str)


def configure_logging() -> None:
    """Sends all log records to standard output as JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)


def log_computation(**fields: object) -> None:
    """The one line of a computation."""
    logger.info("computation", extra={"fields": fields})
