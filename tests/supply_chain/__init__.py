"""What Ringback is made of: lock files, licences, known vulnerabilities, secrets, and a bill of materials."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
