"""Checks of the settings before the server starts."""

from gateway.operations.callback_url import CallbackAllowlist
from gateway.settings import Settings
from operations.store.database import database_url

_KEY_CHARS = 32


def check_operations(settings: Settings) -> None:
    """Rejects settings of asynchronous calls that cannot work.

    Raises:
        ValueError: the message names the setting, and repeats no secret.
    """
    CallbackAllowlist(settings.callback_allowlist)
    if settings.database_url is not None:
        try:
            database_url(settings.database_url.get_secret_value())
        except ValueError as error:
            raise ValueError(f"OSFAAS_DATABASE_URL: {error}") from None
    if settings.callback_keys is not None:
        words = [word.strip() for word in settings.callback_keys.get_secret_value().split(",")]
        if any(len(word) < _KEY_CHARS for word in words):
            raise ValueError(f"OSFAAS_CALLBACK_KEYS: each secret must have at least {_KEY_CHARS} characters")
