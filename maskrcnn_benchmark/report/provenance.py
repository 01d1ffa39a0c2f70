"""When, from what and by which command a report was made."""

from __future__ import annotations

import datetime
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def provenance() -> dict[str, str]:
    """`date` (ISO 8601), `revision` of this project's checkout (followed by + where it has changes; "unknown" outside
    of one), and the `command` of this process."""
    revision = _git("rev-parse", "--short=12", "HEAD")
    if revision and _git("status", "--porcelain", "--untracked-files=no"):
        revision += "+"
    script = Path(sys.argv[0])
    if script.is_absolute() and script.is_relative_to(ROOT):
        script = script.relative_to(ROOT)
    return {
        "date": datetime.date.today().isoformat(),
        "revision": revision or "unknown",
        "command": shlex.join(["python", str(script), *sys.argv[1:]]),
    }


def _git(*arguments: str) -> str:
    """What git prints; "" where there is no git or no checkout of this project (others may lie around it)."""
    if not (ROOT / ".git").exists():
        return ""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
