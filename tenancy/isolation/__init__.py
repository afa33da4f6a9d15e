"""Replays attacks from inside a tenant: `osfaas tenant verify`.

Pure: `attack` defines the values; `network_attacks`, `container_attacks`, `tenant_user_attacks` and
`tenant_pod_attacks` build them for the `targets`; `pods` builds pods, `verdict` evaluates outcomes, `report` prints.
Effects: `discovery` finds the targets, `fixtures` creates and removes the pods, `runners` run probes, `replay` does
all of it. `probe_program` runs inside the pods, without anything else of this package.
"""
