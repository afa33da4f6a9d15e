"""The caller: the identity in a validated token."""

from dataclasses import dataclass, field

from policies.names import ProjectId


@dataclass(frozen=True, slots=True)
class AccessRule:
    """One access rule of an application credential (Keystone API v3, access rules)."""

    service: str
    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of an object store in the catalog."""

    service_type: str
    interface: str
    region: str
    url: str


@dataclass(frozen=True, slots=True)
class Caller:
    """A validated, project-scoped token. Identity is ids; the names are for people who read logs.

    Attributes:
        token: the token itself, which authorises all requests on behalf of the caller; hidden from `repr`.
        expires_at: seconds since the epoch.
        service_types: every service type of the catalog.
        endpoints: the endpoints of the object stores.
        delegated: the token may have fewer rights than its user: it is of an application credential, a trust
            or an OAuth consumer.
        trustee_id: the user who got the token by a trust; None: it is of no trust.
        access_rules: None if the token is not restricted by access rules.
        domain_id: of the project.
        verdicts: of policy rules on this token, with the rules that gave them. A copy begins with none.
    """

    token: str = field(repr=False)
    user_id: str
    user_name: str
    project_id: ProjectId
    project_name: str
    roles: frozenset[str]
    expires_at: float
    service_types: frozenset[str] = frozenset()
    endpoints: tuple[Endpoint, ...] = ()
    application_credential_id: str | None = None
    delegated: bool = False
    trustee_id: str | None = None
    access_rules: tuple[AccessRule, ...] | None = None
    domain_id: str = ""
    verdicts: dict[str, tuple[object, bool]] = field(init=False, repr=False, compare=False, default_factory=dict)
