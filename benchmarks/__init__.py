"""Measurements, always of both sides in one run: the ratio counts, not the machine."""
