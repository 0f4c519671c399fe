"""What earlier versions wrote and sent, and today's functions still have to take; `docs/upgrade.md` says why.

A folder for each version. `python -m tests.contract.previous` records the one that `pyproject.toml` names.
"""
