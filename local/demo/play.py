"""Plays the scenes, prints each as it happens and a table at the end, and writes `build/demo.json`."""

import json
import time
from dataclasses import asdict
from pathlib import Path

import rich.box
from rich.console import Console
from rich.table import Table

from local.demo.scene import Scene
from local.demo.scenes import SCENES
from local.demo.stage import Finding, Stage, envelope
from local.installation import Installation
from local.tokens import Keys


def play(installation: Installation, keys: Keys, report: Path, console: Console) -> bool:
    """Play every scene; True when all are as they should be."""
    stage = Stage(installation, keys, say=lambda text: console.print(f"    [dim]{text}[/]", highlight=False))
    console.print("Warming the functions up", style="dim")
    warm_up(stage)
    findings = [_play_one(stage, name, scene, console) for name, scene in SCENES]
    console.print(_table(findings))
    for finding in findings:
        for failure in finding.failures:
            console.print(f"[red]✗[/] {finding.name}: not so: {failure}", highlight=False)
    everything_ok = all(finding.ok for finding in findings)
    report.parent.mkdir(parents=True, exist_ok=True)
    scenes = [{**asdict(finding), "ok": finding.ok} for finding in findings]
    report.write_text(json.dumps({"ok": everything_ok, "scenes": scenes}, indent=2) + "\n")
    console.print(
        f"{sum(finding.ok for finding in findings)} of {len(findings)} scenes as they should be; figures in {report}"
    )
    return everything_ok


def _play_one(stage: Stage, name: str, scene: Scene, console: Console) -> Finding:
    console.print(f"[bold]▶ {name}[/]", highlight=False)
    finding = Finding(name)
    started = time.monotonic()
    try:
        scene(stage, finding)
    except Exception as error:  # noqa: BLE001 - a scene that breaks off is a scene that failed, and the others play on
        finding.failures.append(f"it broke off: {type(error).__name__}: {error}")
    for note in finding.notes:
        console.print(f"    [dim]{note}[/]", highlight=False)
    mark = "[green]✓[/]" if finding.ok else "[red]✗[/]"
    console.print(f"  {mark} {time.monotonic() - started:.1f} s", highlight=False)
    return finding


def warm_up(stage: Stage) -> None:
    """Go the way of a lost connection and each way in once, so that the figures are those of a warm stack."""
    client = stage.client("warm-up")
    with stage.connected(client):
        stage.lose_disconnect(client, "warm-up")
        message = envelope("warm-up", None)
        arn = stage.runs.start(message)
        stage.runs.await_waiting(arn)
        client.connect()
        client.await_message(message["id"])
        stage.runs.await_end(arn)
        stage.accept(envelope("warm-up", None))
        (row,) = stage.await_rows(client, "warm-up", 1)
        stage.post_once(row["connection_id"]["S"], None)
        stage.installation.clients.sns.publish(
            TopicArn=stage.installation.message_topic_arn, Message=json.dumps(envelope("warm-up", None))
        )
        stage.until(lambda: stage.queue_is_empty() or None, "ingest to be warm")


def _table(findings: list[Finding]) -> Table:
    table = Table("scene", "", "run", title="Ringback, all the way", box=rich.box.SIMPLE)
    for heading in ("transitions", "lag, ms", "attempts"):
        table.add_column(heading, justify="right")
    for finding in findings:
        figures = (finding.billed_transitions, finding.lag_ms, finding.attempts)
        table.add_row(
            finding.name,
            "[green]ok[/]" if finding.ok else "[red]not ok[/]",
            finding.run_status,
            *("" if figure is None else str(figure) for figure in figures),
        )
    return table
