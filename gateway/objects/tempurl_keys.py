"""TempURL keys of containers and accounts, accessed with the caller's token."""

import secrets
from collections.abc import Mapping
from urllib.parse import quote

from gateway.identity.caller import Caller
from gateway.objects.http import NO_CONTENT, StoreClient, auth

_KEY_SLOTS = ("Temp-Url-Key-2", "Temp-Url-Key")


class TempUrlKeys:
    """Reads keys, and sets one where that is allowed."""

    def __init__(self, client: StoreClient, *, set_key: bool, of_containers: bool) -> None:
        """Keys of one store.

        Args:
            client: sends the requests.
            set_key: whether a container without a key may get one.
            of_containers: whether the store honours keys of containers; otherwise they are neither used nor set.
        """
        self._client = client
        self._may_set = set_key
        self._of_containers = of_containers

    async def key(self, caller: Caller, account: str, container: str, *, whole: bool) -> str | None:
        """A key that the token may read, or one that it may set in a free slot; never replaces another.

        A container's key opens that container only, so it does not read the segments of a large object,
        which are usually in another one; the account's key does.

        Args:
            caller: the token must be an owner's, to see or to set a key.
            account: URL of the account.
            container: its name.
            whole: whether the object is in this container as a whole.
        """
        url = f"{account}/{quote(container, safe='')}"
        of_container = None
        if whole and self._of_containers:
            of_container = await self._key_slots(caller, url, "X-Container-Meta-")
            if of_container and any(of_container.values()):
                return _first_key(of_container)
        of_account = await self._key_slots(caller, account, "X-Account-Meta-")
        if of_account and any(of_account.values()):
            return _first_key(of_account)
        # A slot counts as free only if it was read: an unreadable slot may hold a key.
        if of_container is None or not self._may_set:
            return None
        return await self._set_key(caller, url)

    async def _set_key(self, caller: Caller, container: str) -> str | None:
        """Sets a key on a container without one. Swift has no conditional POST, so the slots are read again first."""
        slots = await self._key_slots(caller, container, "X-Container-Meta-", newest=True)
        if slots is None or any(slots.values()):
            return _first_key(slots) if slots else None
        field = "X-Container-Meta-" + _KEY_SLOTS[0]
        headers = {**auth(caller), field: secrets.token_urlsafe(32)}
        async with self._client.exchange("POST", container, headers) as response:
            if response.status != NO_CONTENT:
                return None
        # Another replica may have written at the same moment: the current value counts.
        slots = await self._key_slots(caller, container, "X-Container-Meta-", newest=True)
        return _first_key(slots) if slots else None

    async def _key_slots(
        self, caller: Caller, url: str, prefix: str, *, newest: bool = False
    ) -> dict[str, str | None] | None:
        """The keys of an account or container. Swift shows them to owners only; for others they are empty.

        `newest`: read from all of Swift's servers, not only the first one, which may not have a new key yet.
        """
        fields = {**auth(caller), **({"X-Newest": "true"} if newest else {})}
        async with self._client.exchange("HEAD", url, fields) as response:
            if response.status != NO_CONTENT:
                return None
            return {slot: response.headers.get(prefix + slot) for slot in _KEY_SLOTS}


def _first_key(slots: Mapping[str, str | None]) -> str | None:
    return slots[_KEY_SLOTS[1]] or slots[_KEY_SLOTS[0]]
