"""What a check found."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

OK = "ok"
NOTE = "note"  # worth knowing
WRONG = "wrong"  # the training would run, and be silently wrong
FAILS = "fails"  # the training would fail
_WIDTH = 110


@dataclass(frozen=True)
class Finding:
    """A line of the table.

    Attributes:
        what: was looked at.
        state: one of OK, NOTE, WRONG, FAILS.
        found: in words.
        remedy: a command, or what to do; "" where there is nothing to mend.
    """

    what: str
    state: str
    found: str
    remedy: str = ""

    @property
    def is_fault(self) -> bool:
        return self.state in (WRONG, FAILS)


def table(findings: Iterable[Finding]) -> str:
    """The findings as text, remedies below what they mend."""
    findings = list(findings)
    first = max((len(finding.what) for finding in findings), default=0)
    lines = []
    for finding in findings:
        head = f"{finding.state:<5}  {finding.what:<{first}}  "
        indent = " " * len(head)
        lines += textwrap.wrap(head + finding.found, _WIDTH, subsequent_indent=indent, break_on_hyphens=False,
                               break_long_words=False) or [head]  # fmt: skip
        if finding.remedy:
            lines.append(f"{indent}-> {finding.remedy}")
    return "\n".join(lines)
