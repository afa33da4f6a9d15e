"""Groups and columns of usage, for `osfaas` and `openstack`."""

GROUPS = ("hour", "day", "project", "user", "function", "revision")
# What a group is called in an answer, if not by its own name.
GROUP_FIELDS = {"project": "project_id", "user": "user_id"}
COLUMNS = (
    *("calls", "failed", "cold_starts", "requests", "seconds", "function_seconds", "gb_seconds"),
    *("request_bytes", "response_bytes", "object_bytes"),
)
# Those of a table that has not all.
SHOWN = ("calls", "failed", "cold_starts", "function_seconds", "gb_seconds", "object_bytes", "response_bytes")
