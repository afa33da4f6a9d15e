"""Replaying attacks from inside a tenant: `osfaas tenant verify`.

Pure: `attack` has the words; `network`, `inside`, `tenant_user` and `tenant_pods` the attacks as values, made for the
`targets`; `pods` what is started, `verdict` what an outcome proves, `report` how it is told.
Effects: `survey` finds the targets, `stage` starts and removes the pods, `asking` asks; `replay` is the story from
start to end, `command` its command line.
`probe_program` runs inside the pods, with nothing of this package around it.
"""
