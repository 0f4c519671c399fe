"""The issuer of the backends' tokens: a bucket on MiniStack that serves their keys, as any issuer serves its own.

API Gateway reads them there, as it does on AWS, when a token comes.
"""

import json

from local.installation import Clients
from local.tokens import Keys

_BUCKET = "ringback-token-issuer"
_CONFIGURATION = ".well-known/openid-configuration"
_KEY_SET = ".well-known/jwks.json"
_FOR_EVERYBODY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{_BUCKET}/*"}
    ],
}


def url(endpoint: str) -> str:
    """The `iss` of the tokens, and where its configuration and keys are found."""
    return f"{endpoint}/{_BUCKET}"


def publish(endpoint: str, keys: Keys) -> None:
    """Serve these keys."""
    configuration = {"issuer": keys.backend_issuer, "jwks_uri": f"{keys.backend_issuer}/{_KEY_SET}"}
    s3 = Clients(endpoint).s3
    s3.create_bucket(Bucket=_BUCKET)
    # Everybody may read an issuer's keys, where anybody asks.
    s3.delete_public_access_block(Bucket=_BUCKET)
    s3.put_bucket_policy(Bucket=_BUCKET, Policy=json.dumps(_FOR_EVERYBODY))
    for name, content in ((_CONFIGURATION, configuration), (_KEY_SET, keys.backend_key_set())):
        s3.put_object(Bucket=_BUCKET, Key=name, Body=json.dumps(content).encode(), ContentType="application/json")
