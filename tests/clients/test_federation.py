"""The gateway within a federation: behind a redirector, and beside the tools that share its metadata."""

from pathlib import Path

import pytest
from front import redirector
from programs import HOME, gfal_copy, gfal_sum, run

TOOL = HOME / "venv" / "bin" / "dynafed-storage"
WRONG = "0badc0de"


@pytest.fixture(scope="module")
def dynafed(gateway, account):
    """A redirector that answers HEAD with what the gateway says, as Dynafed does with a script."""
    with redirector(
        store=account.place,
        checksums=lambda path: f"{gateway.url}/v1/checksums{path}",
        redirect_heads=False,
    ) as running:
        yield running


@pytest.mark.parametrize("checksum", [f"ADLER32:{WRONG}", "MD5:" + "0" * 32])
def test_a_copy_whose_checksum_is_not_the_promised_one_fails(dynafed, samples, alice, tmp_path, checksum):
    outcome = gfal_copy(f"{dynafed}/data/five.root", tmp_path / "copy", "-K", checksum, token=alice)
    assert outcome.status != 0
    assert "CHECKSUM MISMATCH" in outcome.err


@pytest.mark.parametrize("checksum", ["ADLER32", "MD5"])
@pytest.mark.parametrize("name", ["five.root", "large"])
def test_gfal_copy_checks_a_copy_against_the_gateways_checksum(dynafed, samples, alice, tmp_path, name, checksum):
    outcome = gfal_copy(f"{dynafed}/data/{name}", tmp_path / "copy", "-K", checksum, token=alice)
    assert outcome.status == 0, outcome.err
    assert (tmp_path / "copy").read_bytes() == samples[name].data


def test_a_head_that_is_redirected_to_the_gateway_has_the_checksum(gateway, account, samples, alice):
    with redirector(
        store=account.place,
        checksums=lambda path: f"{gateway.url}/v1/checksums{path}",
        redirect_heads=True,
    ) as redirecting:
        assert gfal_sum(f"{redirecting}/data/large", "md5", alice).value == samples["large"].digests["md5"]


@pytest.fixture(scope="module")
def ugr_conf(cloud, account, tmp_path_factory) -> Path:
    """An endpoint `s` as Dynafed and its tool read it; `get -e` knows endpoints by one letter only."""
    access, secret = cloud.seed.ec2
    path = tmp_path_factory.mktemp("ugr") / "s.conf"
    path.write_text(
        f"glb.locplugin[]: /usr/lib64/ugr/libugrlocplugin_s3.so s 30 {account.s3}/data\n"
        f"locplugin.s.s3.pub_key: {access}\nlocplugin.s.s3.priv_key: {secret}\n"
        "locplugin.s.s3.region: us-east-1\nlocplugin.s.s3.signature_ver: s3v4\nlocplugin.s.s3.alternate: true\n"
        "locplugin.s.storagestats.api: generic\nlocplugin.s.storagestats.quota: 1000000\nlocplugin.s.ssl_check: false\n"
    )
    return path


@pytest.fixture
def tool(account, ugr_conf):
    """`dynafed-storage checksums …` for an object."""

    def call(verb: str, name: str, *options: str):
        where = ("-c", ugr_conf, "-e", "s", "-u", f"{account.s3}/data/{name}")
        return run(TOOL, "checksums", verb, *where, "-t", "adler32", *options)

    return call


@pytest.fixture(scope="module")
def trusting(start_gateway):
    """A gateway whose operator trusts what other tools have left."""
    with start_gateway(OSFAAS_TRUST_FOREIGN_DIGESTS="true", OSFAAS_DIGEST_CACHE_ENTRIES="0") as running:
        yield running


@pytest.fixture(scope="module")
def forgetful(start_gateway):
    """A gateway that trusts nobody, and has no memory: what it knows, the object says."""
    with start_gateway(OSFAAS_DIGEST_CACHE_ENTRIES="0") as running:
        yield running


def adler32(gateway, bucket, name, token, query=""):
    found = gateway.get(bucket.path(name) + f"?algorithm=adler32{query}", token).json()
    return found["digests"]["adler32"], found["sources"]["adler32"]


def test_dynafeds_tool_says_none_and_succeeds_where_nothing_is_stored(bucket, tool):
    bucket.put("bare", b"bare")
    outcome = tool("get", "bare")
    assert (outcome.status, outcome.out) == (0, "None\n")


def test_dynafeds_tool_reads_what_the_gateway_has_stored(forgetful, bucket, samples, alice, tool):
    bucket.put("shared", samples["zeros"].data)
    expected = samples["zeros"].digests["adler32"]
    assert adler32(forgetful, bucket, "shared", alice, "&store=true") == (expected, "computed")
    assert tool("get", "shared").value == expected
    assert adler32(forgetful, bucket, "shared", alice) == (expected, "stored")


def test_a_value_that_dynafeds_tool_wrote_over_ours_is_not_taken_for_ours(forgetful, bucket, samples, alice, tool):
    bucket.put("overwritten", samples["zeros"].data)
    adler32(forgetful, bucket, "overwritten", alice, "&store=true")
    assert tool("put", "overwritten", "--checksum", WRONG, "-f").status == 0
    assert bucket.head("overwritten")["X-Object-Meta-Adler32"] == WRONG
    expected = samples["zeros"].digests["adler32"]
    assert adler32(forgetful, bucket, "overwritten", alice) == (expected, "computed")
    assert adler32(forgetful, bucket, "overwritten", alice, "&store=true") == (expected, "computed")
    assert tool("get", "overwritten").value == expected


def test_a_value_of_dynafeds_tool_counts_where_the_operator_trusts_it(forgetful, trusting, bucket, alice, tool):
    bucket.put("foreign", b"foreign")
    assert tool("put", "foreign", "--checksum", WRONG).status == 0
    assert adler32(trusting, bucket, "foreign", alice) == (WRONG, "foreign")
    assert adler32(forgetful, bucket, "foreign", alice)[1] == "computed"
    assert adler32(trusting, bucket, "foreign", alice, "&force=true")[1] == "computed"


def test_a_trusted_value_that_came_along_to_other_content_is_seen_to_be_stale(trusting, bucket, samples, alice):
    old = samples["zeros"].digests
    bucket.put("moved", b"new content", X_Object_Meta_Adler32=old["adler32"], X_Object_Meta_Md5=old["md5"])
    assert adler32(trusting, bucket, "moved", alice)[1] == "computed"
