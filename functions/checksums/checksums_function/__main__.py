"""`python -m checksums_function`: the container's entry point."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading

from .algorithms import preload
from .logs import configure_logging, logger
from .server import serve
from .settings import Settings, SettingsError


async def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def on_listening(port: int) -> None:
        logger.info("listening", extra={"fields": {"host": settings.host, "port": port}})
        # Only now that the port is open, because importing the libraries takes time.
        threading.Thread(target=preload, name="preload", daemon=True).start()

    await serve(settings, stop, on_listening)


def main() -> int:
    """Returns the exit status: 0 after a stop by signal, 2 for invalid settings."""
    configure_logging()
    try:
        settings = Settings.from_environ(os.environ)
    except SettingsError as error:
        logger.error("%s", error)
        return 2
    asyncio.run(run(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
