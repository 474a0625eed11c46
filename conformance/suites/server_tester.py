"""caldav-server-tester: probes every feature that python-caldav keeps compatibility hints for.

One test for each probed feature. It passes when the server supports the
feature in full, or does what the library takes as the specification's default;
an `unknown` (the probe could not tell) is a skip.
"""

import ast
import json
import re

from harness.context import Context
from harness.results import FAILED, PASSED, SKIPPED

NAME = "server-tester"
NEEDS = ["python"]

# Prints what the library takes as the default for every feature, and its description.
DEFAULTS = """
import json
from caldav.compatibility_hints import FeatureSet
features = FeatureSet()
found = {}
for name, about in FeatureSet.FEATURES.items():
    kind = about.get("type", "server-feature")
    try:
        default = str(features.is_supported(name, str))
    except TypeError:
        default = ""
    found[name] = {"type": kind, "default": default, "description": about.get("description", "")}
print(json.dumps(found))
"""

# The tester leaves /.well-known/caldav alone on a server called localhost or 127.0.0.1, so for
# that one check the server is given another name, which the resolver of this process alone knows.
OTHER_NAME = "caldav.test"
WITH_OTHER_NAME = f"""
import niquests, socket
request = niquests.Session.request  # the certificate is not for that name
niquests.Session.request = lambda self, *rest, **options: request(self, *rest, **{{**options, "verify": False}})
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **options: resolve(
    "127.0.0.1" if host in ("{OTHER_NAME}", b"{OTHER_NAME}") else host, *rest, **options)
from caldav_server_tester.caldav_server_tester import check_server_compatibility
check_server_compatibility()
"""


def run(context: Context) -> None:
    """Run all checks with three accounts and record every feature."""
    config = context.folder / "calendar.json"
    accounts = {"default": "", "second": "2", "third": "3"}
    config.write_text(json.dumps({section: connection(context, suffix) for section, suffix in accounts.items()}))
    sections = [word for section in ("default", "second", "third") for word in ("--config-section", section)]
    output = context.run(
        *[context.tool("caldav-server-tester"), "--format", "hints", *sections],
        env={"CALDAV_CONFIG_FILE": str(config)},
        timeout=500,
        check=False,
    )
    text = re.search(r"^\{$.*?^\}$", output.out, re.M | re.S)
    with context.check("tester-runs-to-its-end"):
        assert output.code == 0 and text, f"status {output.code}: {output.err[-500:]}"
    defaults = json.loads(context.run(context.tool("python"), "-c", DEFAULTS).out)
    observed = ast.literal_eval(text[0]) if text else {}
    observed.update(well_known(context))
    for feature, about in sorted(observed.items()):
        if "support" in about:
            grade(context, feature, about, defaults.get(feature, {}))
    with context.check("features-probed"):
        assert len(observed) >= 80, f"only {len(observed)} features were probed"


def well_known(context: Context) -> dict:
    """The one feature `well-known`, asked for under another host name."""
    config = context.folder / "well-known.json"
    section = connection(context, "")
    section["caldav_url"] = section["caldav_url"].replace("127.0.0.1", OTHER_NAME)
    config.write_text(json.dumps({"default": section}))
    arguments = ["--format", "hints", "--config-section", "default", "--run-checks", "CheckWellKnown"]
    output = context.run(
        *[context.tool("python"), "-c", WITH_OTHER_NAME, *arguments],
        env={"CALDAV_CONFIG_FILE": str(config)},
        check=False,
    )
    text = re.search(r"^\{$.*?^\}$", output.out, re.M | re.S)
    return ast.literal_eval(text[0]) if text else {}


def connection(context: Context, suffix: str) -> dict:
    """One account as a section of the library's configuration file."""
    account = context.account(suffix)
    section = {
        "caldav_url": account.url("/"),
        "caldav_username": account.name,
        "caldav_password": account.password,
        "caldav_enable_rfc6764": False,  # no look-ups in the DNS
        "caldav_timeout": 60,
    }
    if context.server.ca:
        section["caldav_ssl_verify_cert"] = str(context.server.ca)
    return section


def grade(context: Context, feature: str, about: dict, default: dict) -> None:
    """Record one feature."""
    support = about["support"]
    notes = "; ".join(str(about[key]) for key in ("behaviour", "description") if about.get(key))
    detail = f"{support}: {notes or default.get('description', '')}"
    if support == "unknown":
        context.results.record(feature, SKIPPED, detail)
    elif support == "full" or support == default.get("default"):
        context.results.record(feature, PASSED, detail)
    else:
        context.results.record(feature, FAILED, detail)
