"""The parts of the chat's stack."""
