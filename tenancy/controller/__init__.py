"""The controller: reconciles each `Tenant` with the objects on the cluster.

Pure: `plan`, `ownership`, `function_status`, `report`. Effects: `snapshot` reads, `execute` writes, `reconcile`
does both for one tenant, unless `settled` knows from `stores` that nothing changed. `controller` runs it: watches, work
queue, workers, leader election.
"""
