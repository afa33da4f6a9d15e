"""States of operations, for the options of `osfaas` and `openstack`."""

UNFINISHED = ("queued", "running")
STATES = (*UNFINISHED, "succeeded", "failed", "cancelled", "expired")
