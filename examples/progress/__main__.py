"""`python -m examples.progress`: serve the example beside `make up`, until Ctrl-C."""

import argparse
import sys

from aiohttp import web

from examples.progress.server import make_application
from local import cloud, settings
from local.errors import LocalError, NotRunning, PortBusy
from local.installation import Installation
from local.tokens import Keys
from ringback import Publisher


def main() -> int:
    """Serve; the exit code is 1 if there is no stack to use, or the port is not free, and the text says so."""
    parser = argparse.ArgumentParser(prog="python -m examples.progress", description=__doc__)
    parser.add_argument("--port", type=int, default=settings.EXAMPLE_PROGRESS_PORT, help="%(default)s unless told")
    arguments = parser.parse_args()
    try:
        installation, keys = Installation.load(settings.INSTALLATION_FILE), Keys.load(settings.DIRECTORY)
        if not cloud.answers(installation.endpoint):
            raise NotRunning(f"{installation.endpoint} does not answer. `make down`, then `make up` starts it anew.")
        with cloud.bound(arguments.port, target="example-progress") as listener:
            port = listener.getsockname()[1]
            application = make_application(
                Publisher(installation.sdk), keys, websocket_url=installation.websocket_url, port=port
            )
            ready = f"A job and its progress bar: http://{settings.HOST}:{port}/\nCtrl-C stops it."
            web.run_app(application, sock=listener, print=lambda _: print(ready, flush=True), access_log=None)
    except PortBusy as error:
        print(error, file=sys.stderr)
        return 1
    except LocalError as error:
        print(error, "Then run this again.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
