"""Names of a tenant's objects, each derived from the Keystone project id alone.

Project names are mutable and not unique across domains; ids are immutable and unique. Keystone generates ids of 32 hex
digits, but identity backends may use others, so an id that is not a DNS label is hashed. The two forms cannot
collide: plain ids are at most 50 characters of `[a-z0-9]`, hashed ones contain a dash.
"""

import hashlib
import re
from typing import NewType

ProjectId = NewType("ProjectId", str)
NamespaceName = NewType("NamespaceName", str)

PREFIX = "faas-"
_PLAIN = re.compile(r"[a-z0-9]{1,50}")


def namespace_of(project_id: ProjectId) -> NamespaceName:
    """The Kubernetes namespace of a project: a DNS label (RFC 1123) of at most 63 characters."""
    if _PLAIN.fullmatch(project_id):
        return NamespaceName(PREFIX + project_id)
    digest = hashlib.sha256(project_id.encode()).hexdigest()[:40]
    return NamespaceName(f"{PREFIX}h-{digest}")


def function_host(function: str, namespace: NamespaceName) -> str:
    """The Host of a function at Knative's local gateway."""
    return f"{function}.{namespace}.svc.cluster.local"
