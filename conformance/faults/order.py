#!/usr/bin/env python3
"""No answer before its write is on the disk, and how many answers share a sync.

    order.py [--server target/release/sealdav]

- One client sends every method that writes, one request after the other. At each 2xx no write
  to the database may be unsynced (check_order.py).
- The same with the syncs dropped must be noticed, or the check shows nothing.
- 64 connections PUT at once: for each 2xx a sync began after its request came and ended before
  the answer left; and on a slow disk there are at least 8 answers for each sync.
- The disk is full, or fails to write or to sync: nobody is told of a success that did not happen,
  and after a restart everything that was acknowledged is there.
"""

import argparse
import itertools
import sys
import time
import tempfile
from pathlib import Path

import check_order
import rig
from harness.dav import Dav

CONNECTIONS = 64
LEAST_SHARED = 8
# microseconds of a sync on a disk that is no fast one; on a fast one fewer writes wait for each other
SLOW_SYNC = 10_000
# Requests of each kind from the one client.
ROUNDS = 12
PROPPATCH = (
    '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x:note xmlns:x="urn:faults">{}</x:note></D:prop></D:set>'
    "</D:propertyupdate>"
)
LOCK = (
    '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype>'
    "</D:lockinfo>"
)
# Injected failures: what the shim is told, and a name.
FAILURES = [
    ("a full disk", {"FAULTS_FAIL_WRITE": "150", "FAULTS_ERRNO": "28"}),
    ("a failing write", {"FAULTS_FAIL_WRITE": "150", "FAULTS_FAIL_COUNT": "1"}),
    ("a failing sync", {"FAULTS_FAIL_SYNC": "120"}),
]


def every_method(dav: Dav, base: str) -> dict[str, int]:
    """Send each writing method ROUNDS times, one after the other; (method -> 2xx answers)."""
    seen: dict[str, int] = {}
    home = dav.account.home

    def send(method, path, body=b"", **headers):
        answer = dav.request(method, path, body, **headers)
        if not 200 <= answer.status < 300:
            raise AssertionError(f"{method} {path} answered {answer.status}: {answer.body[:200]!r}")
        seen[method] = seen.get(method, 0) + 1
        return answer

    for n in range(ROUNDS):
        calendar = f"{dav.account.calendar}{base}-{n}"
        to = {"Destination": dav.account.url(f"{calendar}-moved.ics")}
        send("PUT", f"{calendar}.ics", rig.event(f"{base}-{n}"), Content_Type="text/calendar")
        send("PUT", f"{calendar}.ics", rig.event(f"{base}-{n}", "again"), Content_Type="text/calendar")
        send("PROPPATCH", f"{calendar}.ics", PROPPATCH.format(n), Content_Type="application/xml")
        send("MOVE", f"{calendar}.ics", **to)
        token = send("LOCK", f"{calendar}-moved.ics", LOCK, Content_Type="application/xml").header("Lock-Token")
        send("UNLOCK", f"{calendar}-moved.ics", Lock_Token=token)
        send("MKCALENDAR", f"{home}{base}-{n}/")
        send("COPY", f"{calendar}-moved.ics", Destination=dav.account.url(f"{home}{base}-{n}/copy.ics"))
        send("COPY", f"{home}{base}-{n}/", Destination=dav.account.url(f"{home}{base}-{n}-copy/"))
        send("MKCOL", f"{home}{base}-{n}-files/")
        send("DELETE", f"{home}{base}-{n}-files/")
        send("DELETE", f"{home}{base}-{n}/")
        send("DELETE", f"{calendar}-moved.ics")
    return seen


def read_log(log: Path, concurrent: bool):
    """check_order's findings on a whole log."""
    with log.open(encoding="ascii") as lines:
        return check_order.check(lines, concurrent, False)


def one_client(server: rig.Rig, account, log: Path, base: str):
    """Run every method under the shim's log; (methods, answers checked, faults)."""
    server.shim["FAULTS_LOG"] = str(log)
    server.start()
    # The housekeeping at the start writes too, of its own; a write of it is not that of an answer.
    time.sleep(2)
    seen = every_method(Dav(account, None), base)
    server.kill()
    checked, faults, _ = read_log(log, False)
    return seen, checked, faults


def check_one_client(server, account, folder: Path) -> str:
    """Every 2xx to a write came after its sync."""
    seen, checked, faults = one_client(server, account, folder / "order.log", "order")
    assert not faults, f"{len(faults)} faults, first: {faults[0]}"
    assert checked == sum(seen.values()), f"{checked} answers in the log, {sum(seen.values())} were received"
    return f"{checked} answers to {', '.join(sorted(seen))}"


def check_dropped(server, account, folder: Path) -> str:
    """With the syncs dropped the check must find every answer."""
    server.shim["FAULTS_DROP_SYNC"] = "1"
    try:
        _, checked, faults = one_client(server, account, folder / "dropped.log", "dropped")
    finally:
        del server.shim["FAULTS_DROP_SYNC"]
    assert checked > 0 and len(faults) == checked, f"only {len(faults)} of {checked} answers were found to be too early"
    return f"{len(faults)} of {checked} answers found to be too early"


def check_shared(server, account, folder: Path, count: int) -> str:
    """Many connections share a sync of a slow disk, and none is answered before its own."""
    log = folder / "shared.log"
    server.shim["FAULTS_LOG"] = str(log)
    server.shim["FAULTS_SLOW_SYNC"] = str(SLOW_SYNC)
    server.start()
    paths = (f"{account.calendar}shared-{n}.ics" for n in itertools.count())
    requests = (rig.put(account, path, rig.event(path)) for path in paths)
    load = rig.drive(server.port, itertools.islice(requests, count), CONNECTIONS)
    server.kill()
    del server.shim["FAULTS_SLOW_SYNC"]
    checked, faults, seen = read_log(log, True)
    assert load.good == count, f"answers: {dict(load.statuses)}"
    assert checked == count, f"{checked} answers in the log, {count} were received"
    assert not faults, f"{len(faults)} faults, first: {faults[0]}"
    shared = count / seen["sync-end"]
    assert shared >= LEAST_SHARED, f"only {shared:.1f} acknowledged PUTs for each sync"
    return (
        f"{shared:.1f} acknowledged PUTs for each sync ({count} PUTs, {seen['sync-end']} syncs), "
        f"{load.rate:.0f} PUTs/s over {CONNECTIONS} connections with the shim's log"
    )


def check_failure(server, account, folder: Path, name: str, shim: dict[str, str]) -> str:
    """What was acknowledged before the disk failed is there after a restart."""
    log = folder / f"{name.replace(' ', '-')}.log"
    server.shim.update(shim, FAULTS_LOG=str(log))
    acknowledged, refused = {}, 0
    try:
        server.start()
        dav = Dav(account, None)
        for n in range(1_000):
            path = f"{account.calendar}{name.replace(' ', '-')}-{n}.ics"
            body = rig.event(path)
            try:
                answer = dav.request("PUT", path, body, Content_Type="text/calendar")
            except OSError as error:
                raise AssertionError(f"no answer to PUT number {n}: {error!r}, the server {'lives' if server.alive() else 'ended'}") from None
            if 200 <= answer.status < 300:
                acknowledged[path] = (answer.header("ETag"), body)
            else:
                assert answer.status in (500, 503, 507), f"PUT answered {answer.status}"
                refused += 1
                if refused == 20:
                    break
    finally:
        server.kill()
        for key in (*shim, "FAULTS_LOG"):
            del server.shim[key]
    assert "fault" in log.read_text(), "the shim injected nothing"
    assert refused and acknowledged, f"{refused} refused, {len(acknowledged)} acknowledged"
    server.start()
    dav = Dav(account, None)
    for path, (etag, body) in acknowledged.items():
        answer = dav.request("GET", path)
        assert (answer.status, answer.header("ETag"), answer.body) == (200, etag, body), f"{path} is not as acknowledged"
    answer = dav.request("PUT", f"{account.calendar}{name.replace(' ', '-')}-after.ics", rig.event(name), Content_Type="text/calendar")
    assert answer.status == 201, f"after the restart a PUT answered {answer.status}"
    server.kill()
    return f"{len(acknowledged)} acknowledged before {name}, {refused} refused after, none lost"


def run(server: rig.Rig, account, folder: Path, count: int, record) -> None:
    """All checks; `record(name, check)` runs one and counts it. The server is stopped between them."""
    server.shim["LD_PRELOAD"] = str(rig.build_shim(folder))
    record("no answer before its sync", lambda: check_one_client(server, account, folder))
    record("dropped syncs are noticed", lambda: check_dropped(server, account, folder))
    record("connections share a sync", lambda: check_shared(server, account, folder, count))
    server.shim.pop("FAULTS_LOG", None)
    for name, shim in FAILURES:
        record(f"{name} loses nothing acknowledged", lambda: check_failure(server, account, folder, name, shim))
    server.shim.clear()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, default=rig.ROOT / "target/release/sealdav")
    parser.add_argument("--puts", type=int, default=10_000, help="PUTs over the 64 connections")
    options = parser.parse_args()
    failed = []

    def record(name, check):
        try:
            print(f"passed  {name}: {check()}", flush=True)
        except AssertionError as error:
            failed.append(name)
            print(f"FAILED  {name}: {error}", flush=True)

    with tempfile.TemporaryDirectory(prefix="sealdav-o-") as folder:
        server = rig.Rig(Path(folder), options.server)
        try:
            run(server, server.add_account("anna"), Path(folder), options.puts, record)
        finally:
            server.end()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
