"""The field of a reply in which the ingress says to which revision it gave the call."""

from policies.names import NamespaceName

# Envoy writes it over whatever a function says, and the gateway takes it out of what callers get.
FIELD = "osfaas-upstream"
# Envoy's name of a cluster: outbound|80||hello-3f9c2a1b.faas-3d1f….svc.cluster.local
ENVOY_VALUE = "%UPSTREAM_CLUSTER_RAW%"
# In place of a revision's suffix, for calls that reached none.
UNKNOWN = "unknown"
_MAX_CHARS = 512


def revision_of_upstream(value: bytes | None, function: str, namespace: NamespaceName) -> str | None:
    """The revision of a function that the field names, or None.

    Without the ingress's filter a function could write the field itself, so it can name its own revisions only.
    """
    if value is None or len(value) > _MAX_CHARS:
        return None
    host = value.decode("latin-1").rpartition("|")[2]
    revision, _, rest = host.partition(".")
    digits = revision.removeprefix(f"{function}-")
    if not rest.startswith(f"{namespace}.svc") or digits == revision or not digits.isalnum() or not digits.isascii():
        return None
    return revision
