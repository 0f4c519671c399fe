"""What docs/chat.md lists is what there is."""

import re

from lambdas.chat.measures import Metric
from local.settings import ROOT


def test_every_metric_is_explained_once() -> None:
    text = (ROOT / "docs" / "chat.md").read_text("utf-8")
    section = text.partition("\n## What is measured\n")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)

    assert sorted(re.findall(r"`(\w+)`", " ".join(first_cells))) == sorted(Metric)
