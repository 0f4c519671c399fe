"""Baseline (b): a state machine that looks again and again, a minute apart at most."""
