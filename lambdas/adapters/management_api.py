"""API Gateway's management API: posting to connections, and closing them."""

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.adapters import aws
from lambdas.core.errors import InvalidMessage
from lambdas.core.model import Connection
from lambdas.core.ports import Address, PostResult

# 400 is the answer to a connection id that API Gateway never gave out: nothing will ever be there.
_NOT_THERE = frozenset({"GoneException", "410", "BadRequestException", "400"})
_THROTTLED = frozenset({"LimitExceededException", "TooManyRequestsException", "429"})
_TOO_LARGE = frozenset({"PayloadTooLargeException", "413"})


class ManagementApi:
    """`lambdas.core.ports.Sockets` on API Gateway. The endpoint is the connection's own."""

    def post(self, connection: Address, frame: bytes) -> PostResult:
        """Post one text frame. Raises `InvalidMessage` if API Gateway finds it too large."""
        client = aws.management_api(connection.endpoint)
        try:
            client.post_to_connection(ConnectionId=connection.connection_id, Data=frame)
        except ClientError as error:
            code = aws.code(error)
            if code in _NOT_THERE:
                return PostResult.GONE
            if code in _THROTTLED:
                return PostResult.THROTTLED
            if code in _TOO_LARGE:
                raise InvalidMessage(f"payload: API Gateway takes no frame of {len(frame)} bytes") from error
            return PostResult.FAILED
        except BotoCoreError:
            return PostResult.FAILED
        return PostResult.POSTED

    def close(self, connection: Connection) -> bool:
        """Close the socket; False if there is none (410)."""
        with aws.translated():
            try:
                aws.management_api(connection.endpoint).delete_connection(ConnectionId=connection.connection_id)
            except ClientError as error:
                if aws.code(error) in _NOT_THERE:
                    return False
                raise
        return True
