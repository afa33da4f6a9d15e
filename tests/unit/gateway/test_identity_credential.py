"""Our own token: asked for once at a time, and renewed once however many were refused with it."""

import asyncio

from gateway.identity.credential import ServiceCredential


class Session:
    """keystoneauth's session, as far as it is used: a new token after each `invalidate`."""

    def __init__(self) -> None:
        self.renewed = 0
        self.asked = 0

    def get_token(self) -> str:
        self.asked += 1
        return f"token-{self.renewed}"

    def invalidate(self) -> None:
        self.renewed += 1


async def test_late_refusal_of_an_old_token_does_not_throw_away_the_new_one() -> None:
    session = Session()
    credential = ServiceCredential(session)
    old = await credential.token()
    credential.forget(old)
    new = await credential.token()
    for _ in range(5):
        credential.forget(old)
    assert await credential.token() == new
    assert session.renewed == 1


async def test_many_at_once_who_were_refused_renew_it_once() -> None:
    session = Session()
    credential = ServiceCredential(session)
    old = await credential.token()

    async def refused() -> str:
        credential.forget(old)
        return await credential.token()

    assert set(await asyncio.gather(*(refused() for _ in range(100)))) == {"token-1"}
    assert (session.renewed, session.asked) == (1, 2)
