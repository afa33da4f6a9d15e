"""Which object a URL or a path means; what is not certain is refused: another object's digest would come out."""

import pytest

from client.errors import CommandError
from client.location import Location, locate
from client.login import Login

LOGIN = Login(
    token="t",
    issued_at=0,
    expires_at=3600,
    gateway="https://faas.test",
    swift="https://swift.test:8443/v1/AUTH_mine",
    s3="https://s3.test",
    verify=True,
)
ONE_HOST = Login(
    token="t",
    issued_at=0,
    expires_at=3600,
    gateway="http://faas.test",
    swift="http://store.test/v1/AUTH_mine",
    s3="http://store.test",
    verify=True,
)


@pytest.mark.parametrize(
    "where",
    [
        pytest.param("", id="nothing"),
        pytest.param("/", id="root"),
        pytest.param("c", id="container-alone"),
        pytest.param("/c/", id="object-empty"),
        pytest.param("https://swift.test:8443/v1/AUTH_mine/c", id="url-of-a-container"),
        pytest.param("https://swift.test:8443/v1/AUTH_mine", id="url-of-the-account"),
        pytest.param("https://swift.test:8443/v1/AUTH_other/c/o", id="other-account"),
        pytest.param("https://swift.test:8443/v1/AUTH_mine2/c/o", id="account-with-our-name-as-prefix"),
        pytest.param("https://swift.test/v1/AUTH_mine/c/o", id="other-port"),
        pytest.param("https://swift.test:port/v1/AUTH_mine/c/o", id="port-that-is-none"),
        pytest.param("https://elsewhere.test/c/o", id="other-host"),
        pytest.param("https://elsewhere.test/v1/AUTH_mine/c/o", id="our-account-elsewhere"),
        pytest.param("https://evils3.test/c/o", id="host-that-ends-like-ours"),
        pytest.param("https://s3.test/v1/AUTH_other/c/o", id="account-under-the-s3-host"),
        pytest.param("s3://elsewhere.test/c/o", id="s3-host-of-others"),
        pytest.param("ftp://s3.test/c/o", id="other-scheme"),
        pytest.param("file:///c/o", id="file"),
        pytest.param("https://swift.test:8443/v1/AUTH_mine/c/run#7.root", id="number-sign"),
        pytest.param("https://swift.test:8443/v1/AUTH_mine/c/a\tb", id="tab"),
        pytest.param("https://swift.test:8443/v1/AUTH_mine/c/a\nb", id="line-break"),
        pytest.param("https://[bad/c/o", id="bracket-open"),
    ],
)
def test_what_names_no_object_of_this_project_is_refused(where: str) -> None:
    with pytest.raises(CommandError):
        locate(where, LOGIN)


def test_account_of_another_project_is_not_taken_for_a_bucket_where_swift_and_s3_share_a_host() -> None:
    with pytest.raises(CommandError):
        locate("http://store.test/v1/AUTH_other/c/o", ONE_HOST)
    assert locate("http://store.test/v1/AUTH_mine/c/o", ONE_HOST) == Location("c", "o")
    assert locate("http://store.test/c/v1/o", ONE_HOST) == Location("c", "v1/o")


def test_sentence_about_a_refused_url_shows_neither_signature_nor_password() -> None:
    with pytest.raises(CommandError) as caught:
        locate("https://user:secret@elsewhere.test/c/o?X-Amz-Signature=secret", LOGIN)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("where", "container", "name"),
    [
        ("c/o", "c", "o"),
        ("/c/o", "c", "o"),
        ("/c/a b%20ü/../o?x", "c", "a b%20ü/../o?x"),
        ("c//o", "c", "/o"),
        ("https://swift.test:8443/v1/AUTH_mine/c/a%20b/%C3%BC", "c", "a b/ü"),
        ("https://swift.test:8443/v1/AUTH_mine/c/a%2Fb%2525", "c", "a/b%25"),
        ("https://swift.test:8443/v1/AUTH_mine/c//o/", "c", "/o/"),
        ("davs://swift.test:8443/v1/AUTH_mine/c/o", "c", "o"),
        ("https://s3.test/bucket/key/k", "bucket", "key/k"),
        ("https://s3.test:443/bucket/key", "bucket", "key"),
        ("s3s://s3.test/bucket/key", "bucket", "key"),
        ("https://bucket.s3.test/key/k%20", "bucket", "key/k "),
        ("https://s3.test/bucket/key?X-Amz-Signature=1&X-Amz-Expires=9", "bucket", "key"),
        ("s3://bucket/key%20k", "bucket", "key%20k"),
        ("swift://container/o", "container", "o"),
        ("https://faas.test/v1/checksums/c/o%20o", "c", "o o"),
        ("https://federation.test/atlas/c/o", "c", "o"),
    ],
)
def test_object_is_found(where: str, container: str, name: str) -> None:
    assert locate(where, LOGIN, ("https://federation.test/atlas/",)) == Location(container, name)


def test_version_in_a_url_is_kept() -> None:
    assert locate("https://s3.test/b/k?versionId=v%2F1", LOGIN) == Location("b", "k", "v/1")


def test_path_is_encoded_byte_by_byte_also_where_the_name_is_not_utf8() -> None:
    assert Location("c c", "a/%/ü?#\udcff").path == "/v1/checksums/c%20c/a/%25/%C3%BC%3F%23%FF"
