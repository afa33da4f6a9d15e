"""Leader election of schedulers, in a thread: the one with the Lease fires. A replica that loses it stands by again."""

import os
import socket
import threading
import uuid

from tenancy.controller.leadership import LEASE, Leadership, Terms
from tenancy.kubernetes.client import Cluster, Ref

LEASE_NAME = "osfaas-scheduler"


class Election:
    """One candidate."""

    def __init__(self, cluster: Cluster, namespace: str, lease_seconds: float) -> None:
        terms = Terms(lease=lease_seconds, deadline=lease_seconds * 2 / 3, retry=lease_seconds / 8)
        identity = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._leadership = Leadership(cluster, Ref(LEASE, namespace, LEASE_NAME), identity, terms)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="election", daemon=True)

    def leads(self) -> bool:
        """Whether this replica may fire."""
        return self._leadership.leads

    def start(self) -> None:
        """Starts the thread, until `close`."""
        self._thread.start()

    def close(self, timeout: float) -> None:
        """Ends it, and releases the Lease."""
        self._stop.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._leadership.run(self._stop, _nothing, _nothing)


def _nothing() -> None:
    """Whether this replica leads is asked each time."""
