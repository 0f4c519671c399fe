"""cdk-nag's findings that are right as they are."""

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct


def accept(construct: IConstruct, finding: str, *, because: str) -> None:
    """Accept one finding of the AwsSolutions rules on one construct and what is below it."""
    Validations.of(construct).acknowledge(Acknowledgment(id=f"AwsSolutions-{finding}", reason=because))
