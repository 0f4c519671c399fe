"""Of which permissions less is shown than of the others, and why.

A key is an action, whoever has it; or, before the action, `functions`, `machines`, or one role.
"""

# What is needed on AWS alone. Everything here is a service's own call that MiniStack has nothing for, so that nothing
# could be seen to break.
ONLY_ON_AWS: dict[str, str] = {
    "xray:PutTelemetryRecords": (
        "The X-Ray daemon beside a function, and Step Functions, report their own health with it: AWS's managed policy "
        "AWSXRayDaemonWriteAccess and the Step Functions guide (X-Ray tracing) ask for it."
    ),
    "machines xray:GetSamplingRules": "Step Functions asks which runs to trace: its guide (X-Ray tracing) asks for it.",
    "machines xray:GetSamplingTargets": (
        "Step Functions asks how many runs to trace: its guide (X-Ray tracing) asks for it."
    ),
    "machines xray:PutTraceSegments": "Step Functions writes what it traced: its guide (X-Ray tracing) asks for it.",
    "FanOut states:DescribeExecution": (
        "Step Functions watches the executions of a Distributed Map: its guide (IAM policies for Distributed Map) asks "
        "for it, and the CDK grants it with every Distributed Map."
    ),
    "FanOut states:StopExecution": (
        "Step Functions stops the executions of a Distributed Map whose run is stopped; the same guide and grant."
    ),
    "FanOut states:RedriveExecution": (
        "An operator who redrives a failed fan-out redrives the executions of its Map Run; the same guide and grant."
    ),
}

_LOG_DELIVERY = (
    "The CDK grants it to a machine that writes a log. Nothing here sets up a log's delivery: the local cloud refuses "
    "the machine when one of these is missing, which is no proof that AWS asks for each of them."
)
# What is refused only because a correction of ours, `local/corrections/permissions.py`, looks for exactly this: nothing
# in the local cloud does what it is for. It is taken away like the others, and counted apart.
REFUSED_BY_OUR_CORRECTION: dict[str, str] = {
    "machines logs:CreateLogDelivery": _LOG_DELIVERY,
    "machines logs:GetLogDelivery": _LOG_DELIVERY,
    "machines logs:UpdateLogDelivery": _LOG_DELIVERY,
    "machines logs:DeleteLogDelivery": _LOG_DELIVERY,
    "machines logs:ListLogDeliveries": _LOG_DELIVERY,
    "machines logs:PutResourcePolicy": _LOG_DELIVERY,
    "machines logs:DescribeResourcePolicies": _LOG_DELIVERY,
    "machines logs:DescribeLogGroups": _LOG_DELIVERY,
    "functions xray:PutTraceSegments": (
        "Lambda refuses a traced function whose role lacks it. Nothing here writes a trace: the local cloud refuses "
        "the function, as Lambda's message says."
    ),
}

_ENCRYPTION = (
    "Stages with `encryption: customer_managed` have a key of their own; the local cloud encrypts nothing, and asks "
    "for no key."
)
# What other stages grant and the local one does not, so that nothing takes it away; a role alone stands for all of it.
NOT_IN_THE_LOCAL_STAGE: dict[str, str] = {
    "kms:Decrypt": _ENCRYPTION,
    "kms:DescribeKey": _ENCRYPTION,
    "kms:Encrypt": _ENCRYPTION,
    "kms:GenerateDataKey": _ENCRYPTION,
    "kms:ReEncryptFrom": _ENCRYPTION,
    "kms:ReEncryptTo": _ENCRYPTION,
    "Authorizer secretsmanager:GetSecretValue": (
        "Stages whose tokens are signed with a shared secret; the local stage's have a key set."
    ),
    "PostOnce execute-api:ManageConnections": (
        "On the further endpoints of a stage with `allowed_endpoints`; there is one endpoint here."
    ),
    "WebSocket/LogRole": (
        "API Gateway's own role of the account, with AWS's managed policy: the local cloud's API Gateway has none."
    ),
}


def find(table: dict[str, str], role: str, action: str) -> str | None:
    """The key of a table that is about this action of this role (its path, with `Chat/` before it in the chat's)."""
    kind = "machines" if role.rpartition("/")[2] in {"Delivery", "FanOut", "ChatSession"} else "functions"
    return next((key for key in (action, f"{kind} {action}", f"{role} {action}", role) if key in table), None)
