"""Live chat on top of Ringback: an application, in a stack of its own (`cdk_app/chat_stack.py`).

A customer starts a chat and waits, an agent accepts, they talk, one ends it, the customer rates. It uses only what any
backend has of Ringback: the package `ringback`, its functions, its bus. Nothing here imports the rest of `lambdas/`,
but for the plumbing at its top (settings, observability, clients, clock, routing, problems).

How it holds together: a route decides by `core.rules` and writes the chat and an event of it, in one transaction. The
table's stream brings every chat's events, in order and until they are done, to `triggers.publish_events`, which
pushes them to the people of the chat and moves the chat's run (`statemachines/chat_session.asl.json`). So nothing is
pushed that was not written, and nothing written is not pushed.
"""
