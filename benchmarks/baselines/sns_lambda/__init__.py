"""Baseline (a): a topic, and a function that Lambda tries three times."""
