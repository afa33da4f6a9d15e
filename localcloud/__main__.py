"""`python -m localcloud`: a cloud to play with until Ctrl-C."""

import contextlib
import signal

from localcloud.cloud import local_cloud

with local_cloud(progress=lambda line: print(f"  {line}", flush=True)) as cloud, contextlib.suppress(KeyboardInterrupt):
    print(f"Keystone {cloud.auth_url}\nSwift    {cloud.swift_url}\nlogs     {cloud.logs}")
    print(f"try: OS_CLIENT_CONFIG_FILE={cloud.clouds_yaml} {cloud.bin}/openstack --os-cloud alice token issue")
    signal.pause()
