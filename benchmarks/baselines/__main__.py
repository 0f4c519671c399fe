"""`python -m benchmarks.baselines`: the baselines' CDK app. Its context says where the connections are."""

import json

from aws_cdk import App

from benchmarks.baselines.stack import Baselines


def main() -> None:
    """Synthesize it."""
    app = App()
    settings = json.loads(app.node.get_context("settings"))
    Baselines(
        app,
        "Baselines",
        connections_table_name=settings["connections_table_name"],
        management_endpoint=settings["management_endpoint"],
    )
    app.synth()


if __name__ == "__main__":
    main()
