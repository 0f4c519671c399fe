"""The chaos run: real clients, the deployed stack, every fault that the platform can produce, and a ledger."""
