"""The policy rules with their defaults, for the enforcement, the stock tools and the documentation."""

from collections.abc import Sequence

from oslo_policy.policy import DocumentedRuleDefault, RuleDefault

from gateway.policy.names import Rule

_MEMBER = f"rule:{Rule.PROJECT_MEMBER}"
_READER = f"rule:{Rule.PROJECT_READER}"
_SERVICE = f"rule:{Rule.SERVICE_CALLER}"
_ADMIN = f"rule:{Rule.CONTEXT_IS_ADMIN}"
_FUNCTION = "/v1/functions/{name}"


def _documented(
    rule: Rule, check: str, description: str, *operations: str, scopes: Sequence[str] = ("project",)
) -> DocumentedRuleDefault:
    """`operations`: each of one method and path."""
    split = [operation.split(" ", 1) for operation in operations]
    return DocumentedRuleDefault(
        name=rule.value,
        check_str=check,
        description=description,
        operations=[{"method": method, "path": path} for method, path in split],
        scope_types=list(scopes),
    )


def _administration(rule: Rule, description: str, *operations: str) -> DocumentedRuleDefault:
    return _documented(rule, _ADMIN, description, *operations, scopes=("system", "project"))


_BASE = (
    RuleDefault(
        Rule.CONTEXT_IS_ADMIN.value,
        "role:admin and (system_scope:all or is_admin_project:True)",
        "Administrators of all tenants: on the system, or on a project of OSFAAS_ADMIN_PROJECTS. The role on any other "
        "project must not count, because an administrator of a domain can assign it there.",
    ),
    RuleDefault(
        Rule.PROJECT_MEMBER.value,
        f"role:member and not {_SERVICE}",
        "Users who call functions and change resources. A service caller is no user, even with the role member.",
    ),
    RuleDefault(
        Rule.PROJECT_READER.value,
        f"(role:member or role:reader) and not {_SERVICE}",
        "Users who list and show resources. A service caller is no user.",
    ),
    RuleDefault(
        Rule.SERVICE_ROLE.value,
        "role:service",
        "Services, such as the redirector of a storage federation. Their requests for checksums are audited. No role "
        "of users should imply it.",
    ),
    RuleDefault(
        Rule.SERVICE_CALLER.value,
        f"rule:{Rule.SERVICE_ROLE} and is_service_project:True",
        "Services in a project of OSFAAS_SERVICE_PROJECTS. They may do only what a rule grants to service callers, "
        "whatever other roles they have, and they queue apart from users.",
    ),
)

_GATEWAY = (
    _documented(
        Rule.FUNCTIONS_INVOKE,
        _MEMBER,
        "Call a function, directly or by a trigger, which acts for the user who made it.",
        *(
            f"{method} /v1/invoke/{{function}}/{{path}}"
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
        ),
    ),
    _documented(
        Rule.CHECKSUMS_GET,
        f"{_MEMBER} or {_SERVICE}",
        "Get the checksum of an object. The store decides on the object itself, by the same token.",
        "GET /v1/checksums/{container}/{object}",
        "HEAD /v1/checksums/{container}/{object}",
        "GET /v1/checksums",
        "HEAD /v1/checksums",
        "GET /checksums",
        "HEAD /checksums",
    ),
    _documented(
        Rule.CHECKSUMS_LIST, f"{_MEMBER} or {_SERVICE}", "Get the checksums of many objects.", "POST /v1/checksums"
    ),
    _documented(
        Rule.EVENTS_SEND,
        f"{_MEMBER} or {_SERVICE}",
        "Send events of objects, which compute checksums and fire triggers.",
        "POST /v1/events",
    ),
    _documented(
        Rule.LIMITS_GET,
        f"{_READER} or {_SERVICE}",
        "Show the limits of the project.",
        "GET /v1/limits",
        "HEAD /v1/limits",
    ),
    _documented(Rule.USAGE_GET, _READER, "Show the usage of the project.", "GET /v1/usage", "HEAD /v1/usage"),
    _documented(Rule.OPERATIONS_LIST, _READER, "List operations.", "GET /v1/operations"),
    _documented(Rule.OPERATIONS_GET, _READER, "Show an operation.", "GET /v1/operations/{operation}"),
    _documented(
        Rule.OPERATIONS_GET_RESULT, _MEMBER, "Get an operation's result.", "GET /v1/operations/{operation}/result"
    ),
    _documented(Rule.OPERATIONS_CANCEL, _MEMBER, "Cancel an operation.", "DELETE /v1/operations/{operation}"),
    _documented(Rule.OPERATIONS_RETRY, _MEMBER, "Retry an operation.", "POST /v1/operations/{operation}/retry"),
    _documented(
        Rule.CALLBACK_KEY_GET, _MEMBER, "Get the secret that verifies the project's callbacks.", "GET /v1/callback-key"
    ),
    _documented(Rule.SWEEPS_LIST, _READER, "List sweeps.", "GET /v1/sweeps"),
    _documented(Rule.SWEEPS_GET, _READER, "Show a sweep.", "GET /v1/sweeps/{operation}"),
    _documented(Rule.SWEEPS_CREATE, _MEMBER, "Begin a sweep.", "POST /v1/sweeps"),
)

_FUNCTIONS = (
    _documented(Rule.FUNCTIONS_LIST, _READER, "List functions.", "GET /v1/functions"),
    _documented(
        Rule.FUNCTIONS_GET,
        _READER,
        "Show a function, its revisions and its metrics.",
        f"GET {_FUNCTION}",
        f"GET {_FUNCTION}/revisions",
        f"GET {_FUNCTION}/metrics",
    ),
    _documented(
        Rule.FUNCTIONS_GET_LOGS,
        _READER,
        "Read the output of a function and of its builds.",
        f"GET {_FUNCTION}/logs",
        f"GET {_FUNCTION}/build-logs",
    ),
    _documented(Rule.FUNCTIONS_PUT, _MEMBER, "Create or replace a function.", f"PUT {_FUNCTION}"),
    _documented(Rule.FUNCTIONS_PUT_SOURCE, _MEMBER, "Upload the source of a function.", f"PUT {_FUNCTION}/source"),
    _documented(Rule.FUNCTIONS_UPDATE, _MEMBER, "Change a function.", f"PATCH {_FUNCTION}"),
    _documented(Rule.FUNCTIONS_DELETE, _MEMBER, "Delete a function.", f"DELETE {_FUNCTION}"),
    _documented(Rule.SECRETS_LIST, _READER, "List the names of secrets.", "GET /v1/secrets"),
    _documented(Rule.SECRETS_GET, _READER, "Show a secret without its value.", "GET /v1/secrets/{name}"),
    _documented(Rule.SECRETS_PUT, _MEMBER, "Set a secret.", "PUT /v1/secrets/{name}"),
    _documented(Rule.SECRETS_DELETE, _MEMBER, "Delete a secret.", "DELETE /v1/secrets/{name}"),
    _documented(Rule.TRIGGERS_LIST, _READER, "List the triggers of a function.", f"GET {_FUNCTION}/triggers"),
    _documented(Rule.TRIGGERS_GET, _READER, "Show a trigger.", f"GET {_FUNCTION}/triggers/{{trigger}}"),
    _documented(
        Rule.TRIGGERS_PUT, _MEMBER, "Create, replace or take over a trigger.", f"PUT {_FUNCTION}/triggers/{{trigger}}"
    ),
    _documented(Rule.TRIGGERS_DELETE, _MEMBER, "Delete a trigger.", f"DELETE {_FUNCTION}/triggers/{{trigger}}"),
    _documented(
        Rule.REGISTRY_PULL,
        _READER,
        "Pull images of the project, and base images, from the registry.",
        "GET /v1/registry/token",
    ),
    _documented(Rule.REGISTRY_PUSH, _MEMBER, "Push images of the project to the registry.", "GET /v1/registry/token"),
)

_ADMINISTRATION = (
    _administration(Rule.PROJECTS_LIST, "List tenants.", "GET /v1/projects"),
    _administration(Rule.PROJECTS_GET, "Show a tenant.", "GET /v1/projects/{project}"),
    _administration(Rule.PROJECTS_ONBOARD, "Onboard a project, or change its tenant.", "PUT /v1/projects/{project}"),
    _administration(
        Rule.PROJECTS_UPDATE,
        "Change a tenant, suspend or resume it, or cancel its removal.",
        "PATCH /v1/projects/{project}",
    ),
    _administration(Rule.PROJECTS_OFFBOARD, "Remove a tenant, in two steps.", "DELETE /v1/projects/{project}"),
    _administration(Rule.USAGE_GET_ALL, "Show the usage of all projects.", "GET /v1/usage"),
)

DEFAULTS: tuple[RuleDefault, ...] = (*_BASE, *_GATEWAY, *_FUNCTIONS, *_ADMINISTRATION)
