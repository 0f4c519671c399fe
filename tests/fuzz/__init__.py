"""Fuzzing: handlers, HTTP APIs and parsers, bounded in time. `python -m tests.fuzz --help` says how."""
