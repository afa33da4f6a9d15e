"""The checksums function: reads one object once and returns all requested digests.

One call, from the outside in: `server` (routes, heartbeat, answers) → `orders` (parsed requests) → `threads` (a
slot) → `source`, `body` or `batch` (the bytes) → `pipeline` (a ring of buffers and one thread per slow digest) →
`algorithms`.
`errors` is the closed list of failures, `settings` is read once.
"""
