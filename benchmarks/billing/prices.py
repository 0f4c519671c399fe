"""What AWS takes, in USD for one unit of each. One table, for every calculation here.

On-demand prices of us-east-1, without free tiers, reserved capacity and volume discounts, as the authors knew them in
November 2026. They were not read off AWS's pages for this: all but the last are from secondary sources; that one, and
the sizes of the units, are from AWS's price list as the authors know it. Check them for your region before you decide.
"""

from collections.abc import Mapping
from types import MappingProxyType

DATE = "2026-11"
REGION = "us-east-1"

_MILLION = 1_000_000

PRICES: Mapping[str, float] = MappingProxyType(
    {
        "transition": 25.00 / _MILLION,  # a Standard state machine's
        "lambda_request": 0.20 / _MILLION,
        "lambda_gb_second": 0.0000133334,  # arm64
        "dynamodb_write": 0.625 / _MILLION,  # a write request unit: 1 KB; a transaction's counts twice
        "dynamodb_read": 0.125 / _MILLION,  # a read request unit: 4 KB; eventually consistent counts half
        "sqs_request": 0.40 / _MILLION,  # 64 KB each; a batch is one
        "sns_publish": 0.50 / _MILLION,  # 64 KB each; deliveries to SQS and Lambda are free
        "event": 1.00 / _MILLION,  # a custom one, 64 KB; AWS's own are free
        "websocket_message": 1.00 / _MILLION,  # 32 KB each, either way
        "websocket_connection_minute": 0.25 / _MILLION,
        "log_gb": 0.50,  # that CloudWatch takes in
    }
)
"""USD for one unit of each kind."""
