"""What a state machine calls itself, without a function: a dead letter's way to its queue."""

from collections.abc import Callable
from typing import Any

from ministack.services import stepfunctions  # type: ignore[import-untyped]

from local.corrections.places import replace
from tests.chaos.cloud.decisions import Chaos
from tests.chaos.cloud.subjects import Subjects

MACHINE = "state_machine"
_SENDING = "sqs:sendMessage"
_PLACE = "SendMessage"

Invoke = Callable[[str, Any], Any]


class Tasks:
    """Stands where MiniStack's state machines call services."""

    def __init__(self, chaos: Chaos, *, subjects: Subjects) -> None:
        self._chaos = chaos
        self._subjects = subjects

    def install(self) -> None:
        """Take this place.

        Raises:
            CorrectionError: MiniStack has no such place any more.
        """
        replace(stepfunctions, "_invoke_resource", self.around)

    def around(self, upstream: Invoke) -> Invoke:
        """The same calls; those that send to a queue are refused, or done and not answered."""

        def invoke(resource: str, arguments: Any) -> Any:
            if _SENDING not in resource:
                return upstream(resource, arguments)
            (subject,) = self._subjects.of_event({"message": arguments.get("MessageBody")})
            place = self._chaos.place(MACHINE, _PLACE, subject)
            if self._chaos.happens("task_throttled", place):
                raise stepfunctions._ExecutionError("SQS.AmazonSQSException", "Request is throttled.")
            if self._chaos.happens("task_error", place):
                raise stepfunctions._ExecutionError("SQS.AmazonSQSException", "We encountered an internal error.")
            answer = upstream(resource, arguments)
            if self._chaos.happens("task_lost_answer", place):
                raise stepfunctions._ExecutionError("SQS.SdkClientException", "Unable to execute HTTP request.")
            return answer

        return invoke
