"""Ringback's functions."""

import gc

from lambdas import settings

if settings.load(settings.Platform).aws_lambda_initialization_type:
    # A start makes many objects and hardly any garbage; to look for it takes up to a fifth of the start.
    gc.disable()  # until the handler is there: see `observability.instrumented`
