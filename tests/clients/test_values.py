"""What each client prints is what is true of the content."""

import base64
from urllib.parse import quote

import pytest
from conftest import content_of
from programs import davix, gfal_sum, pygfal_sum, rclone, rucio
from samples import contents

CLIENTS = [davix, gfal_sum, pygfal_sum]
NAMES = list(contents())
NO_TOKEN = "gAAAAAB" + "A" * 176


@pytest.mark.parametrize("ask", CLIENTS)
@pytest.mark.parametrize("token", [None, "nonsense", NO_TOKEN])
def test_without_a_good_token_no_client_prints_a_checksum(url, samples, ask, token):
    outcome = ask(f"{url}/zeros", "adler32", token)
    assert outcome.status != 0
    assert outcome.out == ""


@pytest.mark.parametrize("ask", CLIENTS)
def test_of_a_missing_object_no_client_prints_a_checksum(url, alice, ask):
    outcome = ask(f"{url}/no-such", "adler32", alice)
    assert outcome.status != 0
    assert outcome.out == ""


@pytest.mark.parametrize("ask", [davix, gfal_sum])
def test_of_an_unknown_algorithm_no_client_prints_a_checksum(url, samples, alice, ask):
    outcome = ask(f"{url}/zeros", "rot13", alice)
    assert outcome.status != 0
    assert "not supported" in outcome.err


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("algorithm", ["adler32", "md5", "crc32c", "crc32"])
@pytest.mark.parametrize("ask", [davix, gfal_sum])
def test_davix_and_gfal2_print_the_true_value(url, samples, alice, ask, algorithm, name):
    assert ask(f"{url}/{quote(name)}", algorithm, alice).value == samples[name].digests[algorithm]


@pytest.mark.parametrize(("wire", "ours"), [("SHA", "sha1"), ("SHA-256", "sha256")])
def test_davix_prints_the_names_of_the_registry(url, samples, alice, wire, ours):
    assert davix(f"{url}/zeros", wire, alice).value == samples["zeros"].digests[ours]


@pytest.mark.parametrize("name", NAMES)
def test_gfal_in_python_prints_the_true_value_as_it_is_written_in_the_header(url, samples, alice, name):
    digests = samples[name].digests
    assert pygfal_sum(f"{url}/{quote(name)}", "adler32", alice).value == digests["adler32"]
    printed = pygfal_sum(f"{url}/{quote(name)}", "md5", alice).value
    assert base64.b64decode(printed).hex() == digests["md5"]


@pytest.mark.parametrize("algorithm", ["adler32", "md5", "crc32c"])
def test_a_gibibyte_is_waited_for(url, bucket, gibibyte, alice, algorithm):
    """Its CRC-32C has no independent program here that reads a stream as it is made; davix and gfal2 must agree."""
    davixes, gfals = (ask(f"{url}/gibibyte", algorithm, alice).value for ask in (davix, gfal_sum))
    assert davixes == gfals
    assert davixes == gibibyte.get(algorithm, davixes)


def test_a_bearer_token_goes_over_tls_as_over_http(https, samples, certificate, alice):
    url = f"{https}/v1/checksums/data/zeros"
    for ask in (davix, gfal_sum):
        assert ask(url, "adler32", alice, SSL_CERT_FILE=str(certificate)).value == samples["zeros"].digests["adler32"]


@pytest.mark.parametrize("name", NAMES)
def test_rucios_own_checksums_of_the_content_are_what_the_gateway_says(gateway, bucket, samples, alice, name):
    sample = samples[name]
    found = gateway.get(bucket.path(name) + "?algorithm=adler32,md5", alice).json()["digests"]
    assert found == {call: rucio(call, sample.file) for call in ("adler32", "md5")}


@pytest.mark.parametrize(("hash_name", "algorithm"), [("MD5", "md5"), ("SHA1", "sha1"), ("CRC32", "crc32")])
def test_rclone_finds_the_gateways_sums_to_be_those_of_the_content(
    gateway, bucket, samples, alice, rclone_config, tmp_path, hash_name, algorithm
):
    sums = tmp_path / "sums"

    def write(change: str = "") -> None:
        lines = []
        for name in NAMES:
            text = gateway.get(
                bucket.path(name) + f"?algorithm={algorithm}", alice, headers={"Accept": "text/plain"}
            ).text
            lines.append(f"{text.strip()}  {name}\n")
        if change:
            lines[0] = change + lines[0][len(change) :]
        sums.write_text("".join(lines))

    check = ("checksum", hash_name, sums, f"store:{bucket.name}", "--download", "--one-way")
    write(change="00000000")
    assert rclone(rclone_config, *check).status != 0
    write()
    outcome = rclone(rclone_config, *check)
    assert outcome.status == 0, outcome.err
    assert f"{len(NAMES)} matching files" in outcome.err


def test_adler32_has_eight_digits_whatever_it_starts_with(gateway, bucket, samples, alice):
    field = gateway.call("HEAD", bucket.path("zeros"), alice, headers={"Want-Digest": "adler32"}).headers["Digest"]
    assert field == f"adler32={content_of(samples['zeros'].data).digests['adler32']}"
    assert field.startswith("adler32=00")
