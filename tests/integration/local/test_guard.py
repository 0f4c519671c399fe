"""No web page drives a real MiniStack; the clients of a WebSocket API, which are pages, connect to it."""

import http.client
import socket
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from local import settings
from tests.integration.local.laboratory import Laboratory

PAGE = Origin("http://evil.example")


@pytest.fixture(params=["corrected", "uncorrected"])
def laboratory(request: pytest.FixtureRequest) -> Laboratory:
    found: Laboratory = request.getfixturevalue(request.param)
    return found


def ask(laboratory: Laboratory, method: str, **headers: str) -> tuple[int, str | None]:
    """The status, and the Origin that may read the answer; a header's name is written with underscores."""
    address = urlsplit(laboratory.endpoint)
    given = {"Host": address.netloc, "X-Amz-Target": "AWSStepFunctions.ListStateMachines"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(http.client.HTTPConnection(str(address.hostname), address.port, timeout=20)) as connection:
        connection.request(method, "/", "{}", given)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("Access-Control-Allow-Origin")


def test_no_page_gets_an_answer(laboratory: Laboratory) -> None:
    assert ask(laboratory, "POST")[0] == 200
    assert ask(laboratory, "POST", Origin=PAGE) == (403, None)
    assert ask(laboratory, "OPTIONS", Origin=PAGE, Access_Control_Request_Method="POST") == (403, None)
    assert ask(laboratory, "GET", Sec_Fetch_Site="cross-site") == (403, None)
    assert ask(laboratory, "POST", Host="evil.example") == (421, None)


def test_no_page_follows_the_runs(corrected: Laboratory) -> None:
    url = corrected.endpoint.replace("http", "ws", 1) + settings.RUNS_PATH
    for origin, headers, status in (
        (Origin("http://127.0.0.1:4601"), {}, 403),
        (None, {"Sec-Fetch-Site": "cross-site"}, 403),
    ):
        with (
            pytest.raises(InvalidStatus) as refused,
            connect(url, proxy=None, origin=origin, additional_headers=headers, legacy=False),
        ):
            pass
        assert refused.value.response.status_code == status


def test_a_page_connects_to_a_web_socket_api(corrected: Laboratory) -> None:
    function = corrected.function("def handler(event, context): return {'statusCode': 200}")
    url = corrected.websocket_api(connect=function).path.replace("http", "ws", 1)

    with connect(url, proxy=None, origin=PAGE, additional_headers={"Sec-Fetch-Site": "cross-site"}):
        pass
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(url.replace("127.0.0.1", "elsewhere.example"), proxy=None, sock=_socket(corrected), origin=PAGE),
    ):
        pass
    assert refused.value.response.status_code == 421


def _socket(laboratory: Laboratory) -> socket.socket:
    address = urlsplit(laboratory.endpoint)
    return socket.create_connection((str(address.hostname), int(address.port or 80)), timeout=20)
