#!/usr/bin/env python3
"""What a built server keeps in memory of an account that was locked: nothing, over TLS.

    leftovers.py [--server target/release/sealdav] [--expect-leftovers]

An account puts and reads events with random texts over TLS and is signed in by an app password; a
stranger tries a wrong one. Then the writable memory of the process is searched (/proc/PID/mem, as
root) for texts and secrets, raw, in base64, hexadecimal and UTF-16: something must be found while
the account is in use, and nothing after `sealdav lock --all`, when its connections are closed.
With --expect-leftovers the same must end otherwise, as it does with a server whose allocator
overwrites nothing. tests/memory.rs is the same for the debug build, with all features and keys.
"""

import argparse
import base64
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

import rig
from harness.servers import Sealdav

EVENTS = 30
# Seconds in which the server lets go what requests and connections held.
PATIENCE = 10.0
# Bytes that are searched together, and the overlap of two such pieces.
PIECE = 4 * 1024 * 1024
OVERLAP = 512


def forms(name: str, text: str) -> dict[bytes, str]:
    """What to look for: the middle of a text, in each way in which it may be written."""
    middle = text[4:20]
    found = {
        middle.encode(): f"{name}, raw",
        middle.encode().hex().encode(): f"{name}, hex",
        middle.encode("utf-16-le"): f"{name}, UTF-16",
    }
    for before in range(3):
        digits = base64.b64encode(b"\0" * before + middle.encode())
        # without the digits that depend on what stands beside it
        found[digits[(0, 2, 3)[before] : (before + len(middle)) * 8 // 6]] = f"{name}, base64"
    return found


def scan(process: int, sought: dict[bytes, str]) -> tuple[set[str], int]:
    """Search all memory that the process may write; (what was found, bytes searched)."""
    found, searched = set(), 0
    with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            span, rights, *rest = line.split()
            if not rights.startswith("rw") or rest[-1].startswith("[vv"):
                continue
            start, end = (int(number, 16) for number in span.split("-"))
            for at in range(start, end, PIECE):
                try:
                    piece = os.pread(memory.fileno(), min(PIECE + OVERLAP, end - at), at)
                except OSError:  # gone since the list was made
                    break
                searched += len(piece)
                place = rest[-1] if len(rest) == 4 else "anonymous"
                found |= {f"{name} ({place})" for needle, name in sought.items() if needle in piece}
    return found, searched


def use(server: Sealdav, account) -> dict[bytes, str]:
    """Put and read events; what must not be left of them."""
    texts = {name: secrets.token_hex(12) for name in ("a summary", "a UID", "a wrong password")}
    dav = server.dav(account)
    for number in range(EVENTS):
        uid, summary = f"{texts['a UID']}-{number}", texts["a summary"] * (1 + 100 * number)
        path = f"{account.calendar}{uid}.ics"
        dav.put(path, rig.event(uid, summary))
        assert texts["a summary"].encode() in dav.get(path)
    report = (
        '<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><C:calendar-data/></D:prop>'
        '<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:prop-filter name="SUMMARY">'
        f"<C:text-match>{texts['a summary']}</C:text-match></C:prop-filter></C:comp-filter></C:comp-filter></C:filter>"
        "</C:calendar-query>"
    )
    answer = dav.request("REPORT", account.calendar, report, Depth="1", Content_Type="application/xml")
    assert answer.status == 207, answer.status
    dav.connection.close()
    stranger = server.dav(account)
    wrong = base64.b64encode(f"{account.name}:{texts['a wrong password']}".encode()).decode()
    stranger.authorization = f"Basic {wrong}"
    assert stranger.request("GET", account.calendar).status == 401
    stranger.connection.close()
    # the prefix is no secret, and the rest is written with hyphens and without
    secret = account.password.partition("-")[2]
    texts |= {"the app password": secret, "the app password without hyphens": secret.replace("-", "")}
    sought: dict[bytes, str] = {}
    for name, text in texts.items():
        sought |= forms(name, text)
    return sought


def run(server: Sealdav, account) -> tuple[set[str], str]:
    """Use, lock, search; (what was left, a few words)."""
    server.start()
    sought = use(server, account)
    before, searched = scan(server.process.pid, sought)
    assert any(name.startswith("a UID") for name in before), "the search finds nothing while the account is in use"
    server.cli("lock", "--all")
    until = time.monotonic() + PATIENCE
    left = before
    while left and time.monotonic() < until:
        time.sleep(0.3)
        left, searched = scan(server.process.pid, sought)
    return left, f"{len(before)} kinds of text in use, {len(left)} in {searched / 1e6:.0f} MB after the lock"


def check(binary: Path, folder: Path) -> str:
    """The check as a step of `run`."""
    server = Sealdav(folder, binary)
    try:
        left, said = run(server, server.add_account("anna"))
    finally:
        server.stop()
        server.remove()
    assert not left, f"left in memory: {sorted(left)}"
    return said


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, default=rig.ROOT / "target/release/sealdav")
    parser.add_argument("--expect-leftovers", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sealdav-f-") as folder:
        server = Sealdav(Path(folder), options.server.resolve())
        try:
            left, said = run(server, server.add_account("anna"))
        finally:
            server.stop()
            server.remove()
    for name in sorted(left):
        print(f"left: {name}")
    print(said)
    return 0 if bool(left) == options.expect_leftovers else 1


if __name__ == "__main__":
    sys.exit(main())
