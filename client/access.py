"""Calls with a login: the cached one, or a new one if the service rejects its token."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from client.errors import CommandError, TokenRefusedError
from client.login import Login, LoginCache, binding_of, cache_folder, cloud_folders

Result = TypeVar("Result")


def with_login(endpoint: str | None, work: Callable[[Login], Result]) -> Result:
    """Runs `work` with a login and returns its result.

    Args:
        endpoint: URL of the gateway, or name of an entry in `clouds.yaml`; None: both come from the environment.
        work: called again, with a new login, if the service rejects the token of a cached login, or one that has
            expired meanwhile.

    Raises:
        CommandError: the login failed, or `work` raised it.
    """
    gateway = endpoint if endpoint and "://" in endpoint else None
    cloud = None if gateway else endpoint
    try:
        binding = binding_of(os.environ, endpoint, cloud_folders(os.environ))
        cache = LoginCache(cache_folder(os.environ), binding)
    except RuntimeError as error:  # there is no home folder
        raise CommandError(f"{error} Set XDG_CACHE_HOME and XDG_CONFIG_HOME.") from error

    def log_in() -> Login:
        from client.keystone import log_in as ask_keystone  # noqa: PLC0415 - slow to import

        return ask_keystone(cloud, gateway=gateway)

    login = cache.login(log_in)
    while True:
        try:
            return work(login)
        except TokenRefusedError:
            if not login.cached and time.time() < login.expires_at:
                raise
            cache.forget()
            refused, login = login.token, cache.login(log_in)
            # The cached login may not be removable.
            if login.token == refused:
                raise
