"""What a function says to caches: kept for its caller's own, never for one that others share."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.invoke.headers import reply_fields

OURS = b"X-Auth-Token, Authorization"


def caching_of(*fields: tuple[bytes, bytes]) -> dict[bytes, bytes]:
    """What a caller gets of a reply with these fields; each name once."""
    got = reply_fields(200, [(name.lower(), value) for name, value in fields], function="f", host=None)
    assert len(dict(got)) == len(got)
    return dict(got)


@pytest.mark.parametrize(
    "name",
    [
        *(b"Age", b"CDN-Cache-Control", b"Cloudflare-CDN-Cache-Control", b"X-LiteSpeed-Cache-Control"),
        *(b"Surrogate-Control", b"Edge-Control", b"X-Accel-Expires", b"NETLIFY-CDN-CACHE-CONTROL"),
    ],
)
def test_order_to_a_shared_cache_goes_no_further(name: bytes) -> None:
    assert name.lower() not in caching_of((name, b"public, max-age=86400"))


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ([], b"private"),
        ([b""], b"private"),
        ([b"public"], b"private"),
        ([b"public, s-maxage=86400, max-age=60"], b"private, max-age=60"),
        ([b"PUBLIC,S-MaxAge=1", b"Max-Age=60"], b"private, max-age=60"),
        ([b'private="x-own", max-age=60'], b"private, max-age=60"),
        ([b'no-cache="set-cookie, x", max-age=60'], b"private, no-cache, max-age=60"),
        ([b"no-store"], b"private, no-store"),
        ([b"no-store, no-store, private"], b"private, no-store"),
        ([b"no-cache, must-revalidate, proxy-revalidate"], b"private, no-cache, must-revalidate"),
        (
            [b"max-age=60, stale-while-revalidate=30, immutable"],
            b"private, max-age=60, stale-while-revalidate=30, immutable",
        ),
        ([b'extension="public, s-maxage=5"'], b"private"),
        ([b"max-age=-1, max-age=1e9, max-age=" + b"1" * 19], b"private"),
    ],
)
def test_reply_is_private_whatever_the_function_says(said: list[bytes], sent: bytes) -> None:
    assert caching_of(*((b"Cache-Control", value) for value in said))[b"cache-control"] == sent


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ([], OURS),
        ([b""], OURS),
        ([b"Accept"], OURS + b", Accept"),
        ([b"Accept", b"Origin"], OURS + b", Accept, Origin"),
        ([b"*"], OURS + b", *"),
    ],
)
def test_reply_varies_with_the_token_in_one_field(said: list[bytes], sent: bytes) -> None:
    assert caching_of(*((b"Vary", value) for value in said))[b"vary"] == sent


def test_field_for_caches_cannot_be_taken_away_by_naming_it_in_connection() -> None:
    got = caching_of((b"Connection", b"Vary, Cache-Control"), (b"Cache-Control", b"max-age=9"), (b"Vary", b"Accept"))
    assert got == {b"cache-control": b"private, max-age=9", b"vary": OURS + b", Accept"}


def test_what_the_callers_own_cache_works_with_goes_on() -> None:
    """Without `Expires: 0`, a client's cache would guess how long an old page is fresh."""
    own = {
        b"expires": b"0",
        b"etag": b'"e"',
        b"last-modified": b"Fri, 01 Jan 2100 00:00:00 GMT",
        b"pragma": b"no-cache",
    }
    assert own.items() <= caching_of(*own.items()).items()


_words = st.sampled_from(
    [b"public", b"s-maxage=9", b"private", b'private="a, public"', b"no-store", b"max-age=1", b'"', b"="]
)


@given(st.lists(st.one_of(_words, st.binary(max_size=12))))
def test_no_word_of_a_function_lets_a_shared_cache_keep_its_reply(words: list[bytes]) -> None:
    sent = caching_of((b"Cache-Control", b",".join(words)))[b"cache-control"]
    assert sent.split(b", ")[0] == b"private"
    assert not re.search(rb"public|s-maxage|private=|\"", sent)
