"""Keystone: Fernet tokens, SQLite, caching in memcached, served by gunicorn."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from localcloud.services import Service

ADMIN_PASSWORD = "secret-admin"

CONF = """\
[DEFAULT]
use_stderr = true
log_file =
[database]
connection = sqlite:///{folder}/keystone.db
[cache]
enabled = true
backend = dogpile.cache.pymemcache
memcache_servers = 127.0.0.1:{memcached}
[token]
provider = fernet
expiration = 3600
[fernet_tokens]
key_repository = {folder}/fernet
[fernet_receipts]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[identity]
password_hash_rounds = 4
"""

# Keystone would parse gunicorn's command-line arguments as its own, so they are in a file.
GUNICORN = """\
wsgi_app = "keystone.wsgi.api:application"
bind = "{address}:{port}"
workers = {workers}
worker_class = "gthread"
threads = 8
backlog = 2048
keepalive = 30
accesslog = "{folder}/access.log"
access_log_format = '%(m)s %(U)s %(s)s %(a)s'
control_socket_disable = True


def pre_request(worker, request):
    # Keystone validates a token before it creates a context, so it uses what the thread has cached for the previous
    # request: a project that was disabled in between still counts as enabled. Without an old context it reads again.
    from oslo_context import context

    vars(context._request_store).clear()


def post_worker_init(worker):
    # Keystone reads its policy rules at the first request that needs them, without a lock: concurrent requests would
    # find half of them, and get 403 for validating a token.
    from keystone.common.rbac_enforcer.enforcer import RBACEnforcer

    RBACEnforcer()._enforcer.load_rules()
"""


def keystone_service(
    *, state: Path, venv: Path, address: str, port: int, memcached: int, template: Path, prepare: bool
) -> Service:
    """Writes the configuration; the database comes from the template, or is created if `prepare` is set."""
    folder = state / "keystone"
    if prepare:
        for name in ("fernet", "credential"):
            (folder / name).mkdir(parents=True, mode=0o700)
    else:
        shutil.copytree(template / "keystone", folder)
    conf = folder / "keystone.conf"
    conf.write_text(CONF.format(folder=folder, memcached=memcached), encoding="utf-8")
    gunicorn = folder / "gunicorn.conf.py"
    gunicorn.write_text(GUNICORN.format(folder=folder, address=address, port=port, workers=2), encoding="utf-8")
    (folder / "access.log").write_text("", encoding="utf-8")
    if prepare:
        make_database(venv, conf, f"http://{address}:{port}/v3")
    return Service(
        "keystone",
        [str(venv / "bin" / "gunicorn")],
        port,
        state,
        {
            "GUNICORN_CMD_ARGS": f"--config {gunicorn}",
            "OS_KEYSTONE_CONFIG_FILES": str(conf),
            "OS_KEYSTONE_CONFIG_DIR": str(folder),
            "PYTHONWARNINGS": "ignore",
        },
        address,
    )


def make_database(venv: Path, conf: Path, auth_url: str) -> None:
    """Creates the tables, the keys and the administrator."""
    manage = [str(venv / "bin" / "keystone-manage"), "--config-file", str(conf)]
    # Root must name the owner of the keys; for other users, it can only be this one.
    owner = ["--keystone-user", str(os.geteuid()), "--keystone-group", str(os.getegid())]
    steps = [
        ["db_sync"],
        ["fernet_setup", *owner],
        ["credential_setup", *owner],
        [
            "bootstrap",
            *("--bootstrap-password", ADMIN_PASSWORD),
            *("--bootstrap-public-url", auth_url),
            *("--bootstrap-internal-url", auth_url),
            *("--bootstrap-admin-url", auth_url),
            *("--bootstrap-region-id", "RegionOne"),
        ],
    ]
    with (conf.parent / "prepare.log").open("ab") as log:
        for step in steps:
            subprocess.run([*manage, *step], check=True, stdout=log, stderr=log)


def template_name(venv: Path) -> str:
    """Name of the template; changes with the installed versions and the code that seeds."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in (here / "constraints.txt", here / "keystone.py", here / "seed.py"):
        digest.update(path.read_bytes())
    digest.update(str(venv).encode())
    return f"template-{digest.hexdigest()[:16]}"
