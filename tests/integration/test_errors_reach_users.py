"""The same failing call through the clients of OpenStack users: each prints our sentence."""

import os
import subprocess

import openstack
import openstack.exceptions
import pytest
import yaml
from keystoneauth1 import exceptions as ksa_exceptions
from keystoneauth1.adapter import Adapter

from tests.machine import scaled

pytestmark = pytest.mark.main_story

SENTENCE = "There is no such container or object in the project's account."
QUERY = "/checksums/?bucket=nowhere&file=x"


def test_keystoneauth_shows_the_sentence(gateway, cloud):
    adapter = Adapter(cloud.session("alice"), service_type="function", interface="public")
    with pytest.raises(ksa_exceptions.NotFound) as caught:
        adapter.get("/v1" + QUERY)
    assert SENTENCE in str(caught.value)


def test_openstacksdk_shows_the_sentence(gateway, cloud):
    connection = openstack.connection.Connection(session=cloud.session("alice"))
    response = connection.session.get(gateway.url + QUERY, raise_exc=False)
    with pytest.raises(openstack.exceptions.NotFoundException) as caught:
        openstack.exceptions.raise_from_response(response)
    assert SENTENCE in str(caught.value)


def test_the_openstack_command_shows_the_sentence(gateway, cloud, tmp_path):
    """Its object commands, sent to our object-shaped route by an endpoint override, make the call."""
    config = yaml.safe_load(cloud.clouds_yaml.read_text())
    config["clouds"]["alice"]["object_store_endpoint_override"] = f"{gateway.url}/v1/checksums"
    clouds_yaml = tmp_path / "clouds.yaml"
    clouds_yaml.write_text(yaml.safe_dump(config))
    env = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(clouds_yaml), "OS_CLOUD": "alice"}
    done = subprocess.run(
        [cloud.bin / "openstack", "object", "save", "nowhere", "x", "--file", tmp_path / "x"],
        env=env,
        capture_output=True,
        text=True,
        timeout=scaled(60),
        check=False,
    )
    assert done.returncode != 0
    assert SENTENCE in done.stderr, done.stderr
