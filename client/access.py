"""Calls with a login: the kept one, and a new one if the service does not take it any more."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

from client.errors import CommandError, TokenRefusedError
from client.login import Login, LoginCache, binding_of, cache_folder, cloud_folders

Result = TypeVar("Result")


def with_login(endpoint: str | None, work: Callable[[Login], Result]) -> Result:
    """What `work` makes of a login.

    Args:
        endpoint: URL of the gateway, or the name of an entry in `clouds.yaml`; None: both as the environment says.
        work: done once more, with a new login, if it finds the token of a kept one refused, or one that has expired
            meanwhile.

    Raises:
        CommandError: nobody could be logged in, or what `work` raises.
    """
    gateway = endpoint if endpoint and "://" in endpoint else None
    cloud = None if gateway else endpoint
    try:
        binding = binding_of(os.environ, endpoint, cloud_folders(os.environ))
        cache = LoginCache(cache_folder(os.environ), binding)
    except RuntimeError as error:  # there is no home folder
        raise CommandError(f"{error} Set XDG_CACHE_HOME and XDG_CONFIG_HOME.") from error

    def log_in() -> Login:
        from client.keystone import log_in as ask_keystone  # noqa: PLC0415 - takes longer than everything else

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
            # The folder may not let go of it.
            if login.token == refused:
                raise
