"""Results of the suites, the list of expected failures, the table and the JSON.

The rule is that nothing is passed over in silence: a test that fails or is
skipped needs a line in expected-failures.txt that says why, and a line whose
test passes (or is gone) is itself a failure, so the list can only become true.
"""

import contextlib
import json
import re
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
# Longest piece of a test's output that is kept with its result, in characters.
DETAIL_LIMIT = 600


class Skip(Exception):
    """Raised inside a check that cannot be made; needs a line in the list."""


@dataclass
class Result:
    """One test of one suite: `raw` is what happened, `verdict` what it counts as."""

    name: str
    raw: str
    detail: str = ""
    seconds: float = 0.0
    verdict: str = ""
    reason: str = ""


@dataclass
class SuiteResults:
    """Everything one suite reported."""

    suite: str
    seconds: float = 0.0
    tests: list[Result] = field(default_factory=list)

    def record(self, name: str, raw: str, detail: str = "", seconds: float = 0.0) -> None:
        """Add one result; a name that came before gets a number, so that names stay unique."""
        name = re.sub(r"\s+", "-", name.strip())
        taken = {test.name for test in self.tests}
        unique, number = name, 2
        while unique in taken:
            unique, number = f"{name}~{number}", number + 1
        detail = " ".join(detail.split())
        if len(detail) > DETAIL_LIMIT:
            detail = detail[:DETAIL_LIMIT] + " [...]"
        self.tests.append(Result(unique, raw, detail, round(seconds, 3)))

    @contextlib.contextmanager
    def check(self, name: str):
        """Record the block as one test: passed when it ends, failed when it raises."""
        began = time.monotonic()
        try:
            yield
        except Skip as skip:
            self.record(name, SKIPPED, str(skip), time.monotonic() - began)
        except Exception as error:  # a suite goes on after any failed test
            self.record(name, FAILED, describe(error), time.monotonic() - began)
        else:
            self.record(name, PASSED, "", time.monotonic() - began)

    def count(self, verdict: str) -> int:
        """How many tests count as `verdict`."""
        return sum(test.verdict == verdict for test in self.tests)


def describe(error: Exception) -> str:
    """An exception as one line; an assertion without a text is described by its source."""
    if not isinstance(error, AssertionError):
        return f"{type(error).__name__}: {error}"
    return str(error) or f"not so: {traceback.extract_tb(error.__traceback__)[-1].line}"


def read_expected(path: Path) -> dict[tuple[str, str], str]:
    """The expected failures, (suite, test) -> reason. Every line needs a reason."""
    expected: dict[tuple[str, str], str] = {}
    if not path.exists():
        return expected
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        entry, separator, reason = line.partition(" # ")
        words = entry.split()
        if len(words) != 2 or not separator or not reason.strip():
            raise SystemExit(f"{path.name}:{number}: wanted 'suite test-name  # reason'")
        if tuple(words) in expected:
            raise SystemExit(f"{path.name}:{number}: {entry.strip()} is listed twice")
        expected[tuple(words)] = reason.strip()
    return expected


def judge(results: SuiteResults, expected: dict[tuple[str, str], str]) -> None:
    """Set every verdict of a suite against the list, and fail lines that no test answers to."""
    lines = {test: reason for (suite, test), reason in expected.items() if suite == results.suite}
    for test in results.tests:
        reason = lines.pop(test.name, None)
        if test.raw == PASSED and reason is None:
            test.verdict = PASSED
        elif test.raw == PASSED:
            test.verdict = FAILED
            test.detail = f"passes although it is listed as failing ({reason}): take its line out"
        elif reason is not None:
            test.verdict, test.reason = SKIPPED, reason
        else:
            test.verdict = FAILED
            if test.raw == SKIPPED:
                test.detail = f"skipped without a line in the list: {test.detail}"
    for name in lines:
        results.tests.append(
            Result(name, FAILED, "is in the list, but the suite has no such test: take its line out", verdict=FAILED)
        )


def print_report(suites: list[SuiteResults]) -> bool:
    """Print failures, known failures, the table and the closing line; True if all is as it should be."""
    for suite in suites:
        for test in suite.tests:
            if test.verdict == FAILED:
                print(f"FAILED   {suite.suite} {test.name}: {test.detail}")
    for suite in suites:
        for test in suite.tests:
            if test.verdict == SKIPPED:
                print(f"expected {suite.suite} {test.name}: {test.raw}: {test.reason}")
    print(f"\n{'suite':<16}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for suite in suites:
        counts = [suite.count(verdict) for verdict in (PASSED, FAILED, SKIPPED)]
        print(f"{suite.suite:<16}{counts[0]:>8}{counts[1]:>8}{counts[2]:>9}{suite.seconds:>9.1f}")
    passed, failed, skipped = (sum(s.count(v) for s in suites) for v in (PASSED, FAILED, SKIPPED))
    if skipped:
        print("\nskipped: tests that are known not to pass, each with its reason in conformance/expected-failures.txt")
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
    return failed == 0 and passed > 0


def write_json(suites: list[SuiteResults], server: str, path: Path) -> None:
    """Write everything that was found, for other programs."""
    document = {
        "server": server,
        "suites": [
            {
                "suite": suite.suite,
                "seconds": round(suite.seconds, 1),
                **{verdict: suite.count(verdict) for verdict in (PASSED, FAILED, SKIPPED)},
                "tests": [asdict(test) for test in suite.tests],
            }
            for suite in suites
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
