"""Swift: one replica on one device, with the middlewares that a public cloud runs."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from localcloud.services import Service

# Run with `-P`, or this module would shadow the package of the same name.
RUN = Path(__file__).with_name("swift_run.py")

CREDENTIAL = """\
auth_url = {auth_url}
auth_type = password
username = swift
password = {password}
user_domain_id = default
project_name = service
project_domain_id = default"""

# The role `manager` owns the account; `member` has only the rights of container ACLs.
PROXY = """\
[DEFAULT]
bind_ip = {address}
bind_port = {port}
swift_dir = {folder}
workers = {workers}
user = {user}
log_level = INFO
log_name = proxy
# Logging goes to standard error, which is the log file. The copy for syslog cannot be turned off: discard it.
log_udp_host = 127.0.0.1
log_udp_port = 9

[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck proxy-logging cache listing_formats bulk tempurl authtoken \
s3api s3token keystoneauth copy container-quotas account-quotas slo dlo versioned_writes symlink proxy-logging \
proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
# Two cores serve everything, so slow answers are normal.
conn_timeout = 10
node_timeout = 60
recoverable_node_timeout = 60
# There is one node: shunning it for the usual minute after a fault would be an outage.
error_suppression_interval = 1
error_suppression_limit = 1000000
client_timeout = 30

[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:tempurl]
use = egg:swift#tempurl
allowed_digests = sha256 sha512
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
[filter:s3token]
use = egg:swift#s3token
reseller_prefix = AUTH_
delay_auth_decision = true
# Its cache needs the secrets of users' credentials, which Keystone returns to administrators only.
secret_cache_duration = 0
auth_uri = {auth_url}
{credential}
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = {auth_url}
{credential}
delay_auth_decision = true
token_cache_time = 10
cache = swift.cache
# Without it, Keystone hides every token from Swift that access rules restrict.
service_type = object-store
include_service_catalog = true
service_token_roles_required = true
[filter:keystoneauth]
use = egg:swift#keystoneauth
reseller_prefix = AUTH
operator_roles = admin, manager
[filter:copy]
use = egg:swift#copy
[filter:container-quotas]
use = egg:swift#container_quotas
[filter:account-quotas]
use = egg:swift#account_quotas
[filter:slo]
use = egg:swift#slo
min_segment_size = 1
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
"""

STORAGE = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
devices = {devices}
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
workers = 0
user = {user}
log_level = WARNING
log_name = {name}
log_udp_host = 127.0.0.1
log_udp_port = 9

[pipeline:main]
pipeline = {name}-server

[app:{name}-server]
use = egg:swift#{name}
"""

SWIFT_CONF = """\
[swift-hash]
swift_hash_path_suffix = local
swift_hash_path_prefix = cloud

[storage-policy:0]
name = default
default = yes
"""


@dataclass(frozen=True, slots=True)
class SwiftPorts:
    """Ports of the servers; all except the proxy listen on loopback."""

    proxy: int
    object: int
    container: int
    account: int


def swift_services(
    *, state: Path, python: Path, address: str, ports: SwiftPorts, memcached: int, auth_url: str, password: str
) -> list[Service]:
    """Writes the configuration and the rings; returns the services, not started yet."""
    folder = state / "swift"
    devices = folder / "devices"
    (devices / "d1").mkdir(parents=True)
    (folder / "swift.conf").write_text(SWIFT_CONF, encoding="utf-8")
    # Swift changes to this user when it starts; only root could name another one.
    user = pwd.getpwuid(os.geteuid()).pw_name
    storage = {"object": ports.object, "container": ports.container, "account": ports.account}
    subprocess.run(
        [python, "-P", RUN, folder, "rings", *map(str, storage.values())], check=True, stderr=subprocess.DEVNULL
    )
    credential = CREDENTIAL.format(auth_url=auth_url, password=password)
    proxy = PROXY.format(
        address=address,
        port=ports.proxy,
        folder=folder,
        user=user,
        workers=0,
        memcached=memcached,
        auth_url=auth_url,
        credential=credential,
    )
    (folder / "proxy.conf").write_text(proxy, encoding="utf-8")
    for name, port in storage.items():
        conf = STORAGE.format(name=name, port=port, folder=folder, devices=devices, user=user)
        (folder / f"{name}.conf").write_text(conf, encoding="utf-8")
    return [
        Service(
            f"swift-{name}",
            [str(python), "-P", str(RUN), str(folder), "server", name, str(folder / f"{name}.conf")],
            port,
            state,
            {"PYTHONWARNINGS": "ignore"},
            address if name == "proxy" else "127.0.0.1",
        )
        for name, port in {**storage, "proxy": ports.proxy}.items()
    ]
