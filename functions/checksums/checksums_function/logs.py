"""One line of JSON for each computation and for whatever else is worth saying; never a URL's query."""

from __future__ import annotations

import json
import logging
import sys
import traceback

logger = logging.getLogger("checksums_function")


class JsonLines(logging.Formatter):
    """A record as one line. Fields come in `extra={"fields": {…}}`.

    Of an exception only the type and the places are written, never its text: texts of libraries may quote a signed URL.
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
