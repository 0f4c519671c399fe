"""Which installation is meant."""

import argparse

from ringback.installation import Installation


def open_installation(arguments: argparse.Namespace) -> Installation:
    """The installation that the options name."""
    if arguments.local:
        return Installation.local(arguments.local)
    return Installation.of_stack(arguments.stack, region=arguments.region, profile=arguments.profile)
