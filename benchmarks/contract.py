"""The contract's figures, family x check: `python benchmarks/contract.py` runs the tests themselves and prints a table.

A number is the largest absolute difference of that check in single precision (bfloat16 where the check says so), or the
number of vision passes; "ok" is a check that compares no numbers; "FAILED" needs no explanation.
"""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1] / "tests" / "backbones"


class Figures:
    """Collects what each check of each family noted."""

    def __init__(self) -> None:
        self.cells: dict[str, dict[str, str]] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when != "call" and not report.failed:
            return
        _, family, check = report.nodeid.split("::")
        noted = [float(value) for _, value in report.user_properties]
        text = "ok" if not noted else f"{max(noted):.1e}" if 0 < max(noted) < 1 else f"{max(noted):g}"
        row = self.cells.setdefault(check.removeprefix("test_").replace("_", " "), {})
        row[family.removeprefix("Test")] = text if report.passed else "FAILED"

    def table(self) -> str:
        """Markdown, a row for each check."""
        families = list(dict.fromkeys(family for row in self.cells.values() for family in row))
        lines = ["| check | " + " | ".join(families) + " |", "|---|" + "--:|" * len(families)]
        lines += [
            f"| {check} | " + " | ".join(row.get(f, "") for f in families) + " |" for check, row in self.cells.items()
        ]
        return "\n".join(lines)


def main() -> int:
    """Runs the checks; `-k` and other arguments go on to pytest."""
    figures = Figures()
    files = [str(TESTS / "test_contract.py"), str(TESTS / "test_toy.py")]
    status = pytest.main([*files, "-q", "-p", "no:cacheprovider", "-W", "ignore", *sys.argv[1:]], plugins=[figures])
    print("\n" + re.sub(r" +", " ", figures.table()))
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
