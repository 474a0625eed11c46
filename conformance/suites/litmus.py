"""litmus: the WebDAV test suite (RFC 4918), in a plain collection.

litmus trusts any certificate, so it runs over TLS as it is.
"""

import re

from harness.context import Context
from harness.dav import Account
from harness.results import FAILED, PASSED, SKIPPED
from harness.servers import Sealdav, Server

NAME = "litmus"
NEEDS = ["litmus"]

PROGRAMS = ["basic", "copymove", "props", "locks", "http"]
TEST = re.compile(r"^\s*(\d+)\. ([a-zA-Z0-9_]+)\.* (pass|FAIL|SKIPPED)(.*)$", re.S)
NOT_RUN = "litmus left it out, after an earlier failure or because the server does not claim it"
SUMMARY = re.compile(r"<- summary for `\w+': of (\d+) tests run: (\d+) passed, (\d+) failed")


def run(context: Context) -> None:
    """Run the five programs and record each of their tests as PROGRAM/NUMBER-NAME."""
    account = context.account()
    url = plain_collection(context, context.server, account)
    for program in PROGRAMS[:-1]:
        run_program(context, program, url, account)
    if not isinstance(context.server, Sealdav) or context.server.scheme == "http":
        run_program(context, PROGRAMS[-1], url, account)
        return
    # litmus leaves the last program's main test out over TLS, so that one gets a server of its own
    plain = Sealdav(context.folder, context.server.binary, plain=True)
    try:
        plain.start()
        account = plain.add_account("litmus")
        run_program(context, PROGRAMS[-1], plain_collection(context, plain, account), account)
        plain.stop()
    finally:
        if plain.alive():
            plain.stop()
        plain.remove()


def plain_collection(context: Context, server: Server, account: Account) -> str:
    """The URL of a new plain collection."""
    if server.kind == "radicale":
        return account.url(account.plain_parent)
    with context.check("make-plain-collection"):
        answer = server.dav(account).request("MKCOL", account.plain_parent + "litmus-run/")
        assert answer.status == 201, f"MKCOL answered {answer.status}"
    return account.url(account.plain_parent) + "litmus-run/"


def run_program(context: Context, program: str, url: str, account: Account) -> None:
    """One of the five programs."""
    command = ["litmus", "-k", url, account.name, account.password]
    parse(context, program, context.run(*command, env={"TESTS": program}, timeout=180, check=False).both)


def parse(context: Context, program: str, output: str) -> None:
    """Record the tests in a program's output, and that none of them was overlooked."""
    passed = failed = 0
    for number, name, verdict, rest in tests(output):
        raw = {"pass": PASSED, "FAIL": FAILED, "SKIPPED": SKIPPED}[verdict]
        passed += raw == PASSED
        failed += raw == FAILED
        context.results.record(f"{program}/{number}-{name}", raw, rest.strip(" \n()") or NOT_RUN * (raw == SKIPPED))
    with context.check(f"{program}/complete"):
        summary = SUMMARY.search(output)
        assert summary, f"no summary: {output[-300:]}"
        assert (int(summary[2]), int(summary[3])) == (passed, failed), f"summary differs: {summary[0]}"


def tests(output: str):
    """Yield (number, name, verdict, rest) of every test; warnings come between a name and its verdict."""
    for piece in re.split(r"\r", output):
        # "9. delete_fragment....... WARNING: ...\n    ...................... pass (with 1 warning)"
        joined = re.sub(r"WARNING: (.*)\n\s+\.+ (pass|FAIL|SKIPPED)", r"\2 WARNING: \1", piece)
        joined = re.split(r"\n(?:<-|->|\s+\.{5,})", joined)[0]
        match = TEST.match(joined)
        if match:
            yield match[1].zfill(2), match[2], match[3], match[4]
