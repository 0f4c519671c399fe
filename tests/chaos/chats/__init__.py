"""Chats under faults: `python -m tests.chaos.chats --seed N --chats N`. docs/chaos.md says what it shows.

It shares the fault layer, the clients and their links with the run of messages, and nothing of what it plays.
"""
