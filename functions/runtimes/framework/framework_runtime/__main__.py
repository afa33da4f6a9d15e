"""`python -m framework_runtime`: the container's entry point."""

from __future__ import annotations

import logging
import os
import sys

from .application import FunctionError
from .settings import Settings, SettingsError

logger = logging.getLogger("framework_runtime")


def main() -> int:
    """Serves until SIGTERM or SIGINT.

    Returns:
        Exit status: 0 after a stop by signal, 1 if the function cannot be loaded, 2 for invalid settings.
    """
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = Settings.from_environ(os.environ)
    except SettingsError as error:
        logger.error("%s", error)  # noqa: TRY400 - the sentence says all
        return 2
    from .server import load_function, serve

    try:
        app = load_function(settings)
    except FunctionError as error:
        logger.error("The function cannot start: %s.", error)  # noqa: TRY400 - the sentence says all
        return 1
    except Exception as error:
        logger.exception("The function cannot start: main.py raised %s.", type(error).__name__)
        return 1
    serve(app, settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
