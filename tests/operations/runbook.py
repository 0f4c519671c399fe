"""The runbook, and its commands run as they are written."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from local import settings
from tests.operations.operated import Operated

TEXT = (settings.ROOT / "docs" / "runbook.md").read_text("utf-8")
ENTRIES = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PREAMBLE = _BLOCK.search(TEXT.split("\n## ")[0])[1]  # type: ignore[index]
_SECONDS = 60


def blocks(entry: str) -> list[str]:
    """The blocks of commands of an entry."""
    return _BLOCK.findall(ENTRIES[entry])


def commands(entry: str) -> list[str]:
    """The commands within the text of an entry."""
    text = _BLOCK.sub("", ENTRIES[entry])
    quoted = (" ".join(found.split()) for found in re.findall(r"`([^`]+)`", text))
    return [found for found in quoted if re.match(r"(aws|ringback|log) ", found)]


@dataclass(frozen=True)
class Operator:
    """Somebody with the runbook before them, and a shell."""

    operated: Operated
    home: Path

    @cached_property
    def _environment(self) -> dict[str, str]:
        """Where `aws` and `ringback` are ours, and know the local stack."""
        tools = self.home / "bin"
        tools.mkdir(parents=True)
        file = self.home / "local.json"
        self.operated.installation.save(file)
        python = shlex.quote(sys.executable)
        for name, command in {
            "aws": f'{python} -m tests.operations.aws_command "$@"',
            "ringback": f'{python} -m ringback.cli "$@" --local-file {shlex.quote(str(file))}',
        }.items():
            script = tools / name
            script.write_text(f"#!/bin/sh\nexec {command}\n")
            script.chmod(0o755)
        environment = settings.cdk_environment(endpoint=self.operated.installation.endpoint)
        path = os.pathsep.join([str(tools), environment["PATH"]])
        return {**environment, "PATH": path, "PYTHONPATH": str(settings.ROOT)}

    def run(self, script: str, *, chat: bool = False, **words: str) -> str:
        """Run a block, with values in place of the words in capitals that stand for them; answers what it writes.

        Raises:
            AssertionError: a word is not in it, or a command of it fails.
        """
        for word, value in words.items():
            assert re.search(rf"\b{word}\b", script), f"{word} is not in {script}"
            script = re.sub(rf"\b{word}\b", value.replace("\\", "\\\\"), script)
        stack = "Ringback-local-Chat" if chat else "Ringback-local"
        preamble = re.sub(r"(?m)^STACK=.*$", f"STACK={stack}", PREAMBLE)
        done = subprocess.run(  # noqa: S603 - our own document
            ["bash", "-euo", "pipefail", "-c", f"{preamble}\n{script}"],  # noqa: S607
            cwd=self.home,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def look(self, entry: str, *, chat: bool = False, **words: str) -> str:
        """Run all blocks of the entry's Look."""
        return self._section(entry, "Look", chat=chat, words=words)

    def do(self, entry: str, *, chat: bool = False, **words: str) -> str:
        """Run all blocks of the entry's Do."""
        return self._section(entry, "Do", chat=chat, words=words)

    def _section(self, entry: str, section: str, *, chat: bool, words: dict[str, str]) -> str:
        text = ENTRIES[entry].split(f"**{section}.**")[1].split("\n**")[0]
        found: Sequence[str] = _BLOCK.findall(text)
        assert found, f"{entry} has no commands under {section}"
        return self.run("\n".join(found), chat=chat, **words)
