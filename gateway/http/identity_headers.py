"""Header fields by which a request could claim an identity or a route that only infrastructure may set.

The names are those of keystonemiddleware (`auth_token`), of Envoy, Istio and Knative, and of common reverse proxies and
frameworks. Every request loses them before anything reads it, and an invocation once more before it is forwarded.
"""

_PREFIXES = (
    # keystonemiddleware
    b"x-user-",
    b"x-project-",
    b"x-tenant-",
    b"x-domain-",
    b"x-service-",
    b"x-identity-",
    b"x-system-",
    b"openstack-system-scope",
    # this gateway: capabilities for objects, and what became of the objects
    b"osfaas-",
    # Envoy, Istio, Knative, proxies
    b"x-envoy-",
    b"x-istio-",
    b"x-forwarded-",
    b"k-",
    b"knative-",
)
_NAMES = frozenset(
    [
        # keystonemiddleware, and its names of old
        b"x-user",
        b"x-tenant",
        b"x-role",
        b"x-roles",
        b"x-is-admin-project",
        b"x-auth-key",
        b"x-key-manager-reference",
        b"remote-user",
        # proxies and frameworks: the client's address, another path or another method
        b"forwarded",
        b"x-real-ip",
        b"x-client-ip",
        b"x-original-url",
        b"x-original-host",
        b"x-rewrite-url",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
    ]
)

# The caller's credentials: nothing of them is stored or forwarded.
CREDENTIAL_HEADERS = frozenset(
    [b"authorization", b"x-auth-token", b"x-subject-token", b"x-storage-token", b"cookie", b"cookie2"]
)
# RFC 9110, 7.6.1: about one connection, not about the message.
HOP_BY_HOP_HEADERS = frozenset(
    [
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    ]
)


def is_identity_header(name: bytes) -> bool:
    """Whether only infrastructure may set a field (name in lower case).

    A name with an underscore counts: CGI and WSGI read `X_User_Id` as `X-User-Id`.
    """
    return b"_" in name or name in _NAMES or name.startswith(_PREFIXES)
