"""`python -m tests.contract.previous`: record what this version writes and sends, in the folder of its number.

Do it before a release, and whenever a test says that this version's record is not what it writes. The records of
versions that are released stay as they are: their runs wait somewhere.
"""

import logging
import sys
import tempfile
from pathlib import Path

import tests.conftest  # noqa: F401 - the handlers want its environment
from tests.contract.previous import versions


def main() -> None:
    """Write the files."""
    from tests.infrastructure import lasting

    logging.disable()  # moto tells of every run that fails, as two are meant to
    folder = versions.FOLDER / versions.current()
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        found = {**versions.files(), versions.LOGICAL_IDS: versions.as_text(lasting.of_all_stages(Path(directory)))}
    for name, text in found.items():
        (folder / name).write_text(text, "utf-8")
    sys.stdout.write(f"{len(found)} files in {folder.relative_to(Path.cwd())}\n")


if __name__ == "__main__":
    main()
