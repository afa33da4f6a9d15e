"""`/v1/functions`: the functions of a project's own, for its members. A separate process (`osfaas functions-api`).

The administrators' API may write Tenants, and serves few; this one serves all projects. So neither has the other's
rights: a caller who takes this process over can write `Function` objects of tenants and read their logs, and cannot
onboard a project, raise a limit, or lower a level.
"""
