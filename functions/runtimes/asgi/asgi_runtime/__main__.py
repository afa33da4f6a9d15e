"""`python -m asgi_runtime`: the container's entry point."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

from .application import Application
from .loading import FunctionError, load_function
from .settings import Settings, SettingsError

if TYPE_CHECKING:
    import socket

logger = logging.getLogger("asgi_runtime")


def main() -> int:
    """Serves until SIGTERM or SIGINT.

    Returns:
        Exit status: 0 after a stop by signal, 1 if the function cannot be loaded or started, 2 for invalid settings.
    """
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = Settings.from_environ(os.environ)
        function = load_function(settings.folder)
    except SettingsError as error:
        logger.error("%s", error)  # noqa: TRY400 - the sentence says all
        return 2
    except FunctionError as error:
        logger.error("The function cannot start: %s.", error)  # noqa: TRY400 - the sentence says all
        return 1
    except Exception as error:
        logger.exception("The function cannot start: func.py raised %s.", type(error).__name__)
        return 1
    return _serve(Application(function), settings)


def _serve(application: Application, settings: Settings) -> int:
    import uvicorn

    config = uvicorn.Config(
        application,
        host=settings.host,
        port=settings.port,
        lifespan="on",
        # The gateway and Knative say who calls; nothing a caller sends may change that.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=settings.grace_seconds,
    )

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                logger.info("listening on http://%s:%d", settings.host, settings.port)

    server = Server(config)
    # uvicorn ends gracefully at a signal and then raises it again; a stop by signal is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        server.run()
    except SystemExit:
        return 1  # the port is taken, or start() of the function failed
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
