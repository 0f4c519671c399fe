"""The app: Ringback of the stage that the context names, and its chat if it has one."""

from collections.abc import Mapping
from typing import Any

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from cdk_app.chat_stack import ChatStack
from cdk_app.ringback_stack import RingbackStack
from cdk_app.settings import SettingsError, load

DEFAULT_STAGE = "dev"


def make_app(*, context: Mapping[str, Any] | None = None, outdir: str | None = None) -> App:
    """Make it; synthesizing it also checks it against cdk-nag's AwsSolutions rules.

    Args:
        context: on top of what the CDK command passes.
        outdir: where to synthesize to, if the CDK command does not say.

    Raises:
        SettingsError: the stage's settings are missing or wrong.
    """
    app = App(context=context, outdir=outdir)
    stages = app.node.try_get_context("stages")
    if not isinstance(stages, Mapping):
        raise SettingsError("cdk.json has no stages: they belong under context.stages.")
    stage = app.node.try_get_context("stage") or DEFAULT_STAGE
    settings = load(stage, stages, app.node.try_get_context("settings"))
    ringback = RingbackStack(app, f"Ringback-{stage}", settings=settings)
    if settings.chat:
        ChatStack(app, f"Ringback-{stage}-Chat", ringback=ringback, settings=settings, chat=settings.chat)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return app
