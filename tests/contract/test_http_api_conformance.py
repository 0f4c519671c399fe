"""The HTTP API does what its description says, whatever it is sent: Schemathesis, over loopback."""

import logging
import threading
from collections.abc import Iterator

import pytest
from werkzeug.serving import make_server

from lambdas.clock import SystemClock
from lambdas.routes import http_api
from lambdas.routes.openapi import openapi
from tests import conformance
from tests.contract.http_gateway import TOKEN, application_of
from tests.contract.test_http_api import Backend, backend  # noqa: F401 - a fixture

EXAMPLES = 15
SEED = 20300131


@pytest.fixture
def url(backend: Backend) -> Iterator[str]:  # noqa: F811
    """Where the function answers, behind something like API Gateway."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = make_server("127.0.0.1", 0, application_of(http_api.handler), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_schemathesis_finds_nothing(url: str) -> None:
    report = conformance.examine(openapi(), url, token=TOKEN, now=SystemClock().now, examples=EXAMPLES, seed=SEED)
    assert report.findings == []
    for path, methods in openapi()["paths"].items():
        for method in methods:
            seen = {status for (operation, status) in report.answers if operation == f"{method.upper()} {path}"}
            assert seen & {200, 202}, "good requests were sent"
            assert seen >= {400, 401}, "and bad ones"
