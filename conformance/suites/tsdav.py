"""tsdav: the JavaScript client inside cal.com and others. The tests are in tsdav.cjs."""

import json

from harness.context import Context
from harness.results import FAILED, PASSED

NAME = "tsdav"
NEEDS = ["npm"]


def run(context: Context) -> None:
    """Run the script, which prints one JSON line for each test."""
    account = context.account()
    env = {
        "CONFORMANCE_URL": account.url("/"),
        "CONFORMANCE_USER": account.name,
        "CONFORMANCE_PASSWORD": account.password,
        "CONFORMANCE_MODULES": str(context.installer.npm / "node_modules"),
    }
    if context.server.ca:
        env["NODE_EXTRA_CA_CERTS"] = str(context.server.ca)
    script = context.root / "suites" / "tsdav.cjs"
    output = context.run("node", str(script), env=env, timeout=180, check=False)
    lines = [line for line in output.out.splitlines() if line.startswith('{"test"')]
    for line in lines:
        found = json.loads(line)
        context.results.record(found["test"], PASSED if found["passed"] else FAILED, found["detail"], found["seconds"])
    with context.check("script-runs-to-its-end"):
        assert output.code == 0 and '"done"' in output.out, f"status {output.code}: {output.both[-500:]}"
