"""MiniStack's process, with every fault that the platform can produce: `python -m tests.chaos.cloud DIRECTORY SOCKET`.

It stands in the place of `local.server`, between the functions and the cloud, so the code under test is the deployed
code. Faults hit calls that functions make, and what is delivered to functions; neither the deployment nor a client.
Until it is told to, over HTTP on the cloud's own port (see `control`), it only notes which frames were posted.

Every injected fault is a line of `faults.jsonl` in the run's directory:
``{"at": epoch seconds, "fault", "function", "operation", "subject", "nth"}``. So is every frame that the cloud took for
a connection: ``{"at", "posted": [message ids], "connection": id, "user"}``.
"""
