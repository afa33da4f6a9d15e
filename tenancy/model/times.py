"""Times as Kubernetes writes them. Pure."""

import datetime as dt


def timestamp(moment: dt.datetime) -> str:
    """RFC 3339 in UTC, whole seconds: `metav1.Time`."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
