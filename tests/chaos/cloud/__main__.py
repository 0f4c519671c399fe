"""The process."""

from pathlib import Path

from local import server
from local.asgi import App
from tests.chaos.cloud.calls import Calls
from tests.chaos.cloud.control import Control, Outage
from tests.chaos.cloud.decisions import FILE, Chaos, Journal
from tests.chaos.cloud.deliveries import Deliveries
from tests.chaos.cloud.processes import Processes
from tests.chaos.cloud.sockets import Sockets
from tests.chaos.cloud.subjects import Subjects
from tests.chaos.cloud.tasks import Tasks


def _around(app: App, directory: Path) -> App:
    chaos = Chaos(Journal((directory / FILE).open("w", encoding="utf-8")))
    sockets, subjects, outage = Sockets(), Subjects(), Outage()
    processes = Processes(chaos)
    deliveries = Deliveries(chaos, sockets=sockets, subjects=subjects)
    for layer in (sockets, processes, deliveries, Tasks(chaos, subjects=subjects), outage):
        layer.install()
    calls = Calls(chaos, processes=processes, sockets=sockets, subjects=subjects, give_up=deliveries.give_up)
    return Control(chaos, outage, processes=processes, sockets=sockets).around(calls.around(app))


if __name__ == "__main__":
    server.main(_around)
