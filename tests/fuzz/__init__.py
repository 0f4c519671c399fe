"""Fuzzing: handlers, HTTP APIs and parsers, bounded in time. `python -m tests.fuzz --help` says how."""

from collections.abc import Mapping

PAST_FINDINGS: Mapping[str, str] = {
    "a frame that names `$connect` or `$disconnect` was taken for one": (
        "contract/test_connect_and_disconnect::test_a_frame_that_names_the_route_changes_nothing"
    ),
    "claims in UTF-16, or with a surrogate in UTF-8, were read": (
        "unit/test_authorization::test_claims_that_are_no_json_object_are_refused"
    ),
    "half a surrogate pair in a claim made the handshake a 503": (
        "unit/test_authorization::test_an_attribute_is_a_text_a_number_or_a_boolean"
    ),
    "a key set that is nested too deep made the handshake a 500": (
        "integration/test_token_keys::test_an_issuer_in_trouble_leaves_the_keys_in_use"
    ),
    "a dead letter with what SQS does not take was lost": (
        "contract/test_ended::test_a_message_is_kept_whatever_it_holds_that_sqs_does_not_take"
    ),
}
"""What odd input has broken before, found here or by `tests/attacks`, and the test that holds it since."""
