"""Serves the function with gunicorn, as functions-framework does, with a graceful end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import gunicorn.app.base

from .application import FILE, AsgiHealth, FunctionError, WsgiHealth

if TYPE_CHECKING:
    from .settings import Settings

logger = logging.getLogger("framework_runtime")
_ASGI_WORKER = "uvicorn_worker.UvicornWorker"


class _Server(gunicorn.app.base.BaseApplication):  # type: ignore[misc]
    def __init__(self, app: Any, options: dict[str, Any]) -> None:
        self._app = app
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._app


def load_function(settings: Settings) -> Any:
    """Imports `main.py` through functions-framework.

    Returns:
        A WSGI application, or an ASGI application if the function has a decorator of `functions_framework.aio`.

    Raises:
        FunctionError: there is no such file or no such function in it.
        Exception: what `main.py` raised while it was imported.
    """
    import functions_framework
    from functions_framework import exceptions

    source = settings.folder / FILE
    if not source.is_file():
        raise FunctionError(f"{settings.folder} has no {FILE}")
    try:
        return functions_framework.create_app(settings.target, str(source), settings.signature)
    except exceptions.MissingTargetException as error:
        raise FunctionError(f"{FILE} has no function {settings.target!r}; FUNCTION_TARGET names it") from error
    except exceptions.FunctionsFrameworkException as error:
        raise FunctionError(str(error).rstrip(".")) from error


def serve(app: Any, settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then finishes running calls."""
    import flask

    wsgi = isinstance(app, flask.Flask)
    options = {
        "bind": f"{settings.host}:{settings.port}",
        "workers": 1,
        # Knative ends a call that takes too long; gunicorn would end the whole worker.
        "timeout": 0,
        "graceful_timeout": settings.grace_seconds,
        "loglevel": "warning",
        "when_ready": lambda _server: logger.info("listening on http://%s:%d", settings.host, settings.port),
        # Files of gunicorn's heartbeat: the root file system is read-only.
        "worker_tmp_dir": "/dev/shm",  # noqa: S108 - memory, private to the container
        # Nothing that a caller sends may change who calls.
        "forwarded_allow_ips": "",
    }
    if wsgi:
        options |= {"worker_class": "gthread", "threads": settings.concurrency}
    else:
        options |= {"worker_class": _ASGI_WORKER}
    _Server(WsgiHealth(app) if wsgi else AsgiHealth(app), options).run()
