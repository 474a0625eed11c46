#!/usr/bin/env python3
"""A long run: does anything grow that should not?

    soak.py [--server target/release/sealdav] [--minutes 60] [--clients 50] [--rate 4] [--trash-days 0] [--json FILE]

That many clients of ten accounts, each on a kept-alive connection which it closes now and then,
do what calendar apps do: poll, sync from their own token, put new events and over old ones, read,
query a month, delete, make and delete calendars; at --rate requests a second each. Each client
keeps a replica by sync-collection alone and compares it with a listing now and then.

Resident memory, open files, threads and the data's bytes on the disk are read every ten seconds.
After the warm-up (a quarter of the run) they must be flat: the mean of the last quarter is compared
with the mean of the second one. With --trash-days what is deleted and overwritten is kept, so the data
may grow. At the end the server is stopped and the database compacted; then it may take twice its
rows and what an empty one takes. Figures are printed; the status is 0 only when all of that holds,
no request failed, and every replica agreed.
"""

import argparse
import json
import random
import re
import sys
import tempfile
import threading
import time
from pathlib import Path

import rig
from harness.dav import Dav

XML = "application/xml; charset=utf-8"
ACCOUNTS = 10
# Events that a client has in its calendar at most; then it deletes as often as it puts.
OBJECTS = 200
# Growth that is allowed from the second quarter to the last one: a share, and MB or a number.
GROWTH, GROWTH_MB, GROWTH_FILES = 0.10, 8.0, 5
# MB of memory that the tombstone of a deleted object may take: it is kept for 180 days, since clients with
# an old sync-token have to be told (RFC 6578 section 3.4).
TOMBSTONE_MB = 1 / 1024
# The same for the data on the disk: some of the database's segments of 8 MiB.
GROWTH_DISK_MB = 32.0
# What a compacted database may take: so many times its rows, and MiB of an empty one.
COMPACTED, EMPTY_MIB = 2.0, 40.0
SAMPLE_SECONDS = 10.0
POLL = b'<D:propfind xmlns:D="DAV:"><D:prop><D:sync-token/></D:prop></D:propfind>'
LIST = b'<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/></D:prop></D:propfind>'
SYNC = (
    '<D:sync-collection xmlns:D="DAV:"><D:sync-token>{}</D:sync-token><D:sync-level>1</D:sync-level>'
    "<D:prop><D:getetag/></D:prop></D:sync-collection>"
)
QUERY = (
    b'<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:getetag/><C:calendar-data/></D:prop>'
    b'<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">'
    b'<C:time-range start="20260101T000000Z" end="20260201T000000Z"/></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>'
)
DAV = "{DAV:}"


def etags(answer) -> dict[str, str | None]:
    """Member -> ETag of a multistatus; None for one that is gone."""
    found = {}
    for response in answer.xml().iter(f"{DAV}response"):
        etag = response.find(f".//{DAV}getetag")
        path = response.findtext(f"{DAV}href")
        if not path.endswith("/"):
            found[path] = None if etag is None else etag.text
    return found


class Client(threading.Thread):
    """One device with a calendar of its own and a replica of it."""

    def __init__(self, account, number: int, seed: int, pause: float, until: float):
        super().__init__(daemon=True)
        self.account, self.number, self.pause, self.until = account, number, pause, until
        self.random = random.Random(seed)
        self.calendar = f"{account.home}soak-{number}/"
        self.dav = Dav(account, None)
        self.replica, self.token, self.next = {}, "", 0
        self.requests, self.deleted, self.faults = 0, 0, []

    def ask(self, good, method: str, path: str, body=b"", **headers):
        """One request; anything but `good` is a fault."""
        answer = self.dav.request(method, path, body, **headers)
        self.requests += 1
        if answer.status not in good:
            self.faults.append(f"{method} {path}: {answer.status} {answer.body[:120]!r}")
        return answer

    def sync(self):
        """Brings the replica up to the server, through as many answers as it takes."""
        body = SYNC.format(self.token)
        answer = self.ask((207,), "REPORT", self.calendar, body, Content_Type=XML, Depth="1")
        if answer.status != 207:
            return
        for path, etag in etags(answer).items():
            if etag is None:
                self.replica.pop(path, None)
            else:
                self.replica[path] = etag
        self.token = answer.xml().findtext(f"{DAV}sync-token")

    def compare(self):
        """The replica, which sync alone made, against a listing."""
        self.sync()
        answer = self.ask((207,), "PROPFIND", self.calendar, LIST, Content_Type=XML, Depth="1")
        if answer.status == 207 and etags(answer) != self.replica:
            self.faults.append(f"{self.calendar}: the replica differs")

    def put(self, path: str, good):
        summary = "x" * int(self.random.paretovariate(1.2) * 100 % 20_000)
        body = rig.event(path.rsplit("/", 1)[-1], summary)
        self.ask(good, "PUT", path, body, Content_Type="text/calendar")

    def act(self):
        """One of the things that apps do."""
        known = sorted(self.replica)
        kind = self.random.choices(
            ["poll", "sync", "put", "over", "get", "query", "delete", "calendar", "compare", "close"],
            [30, 20, 12, 10, 15, 3, 8, 1, 1, 2],
        )[0]
        if kind == "put" and len(known) < OBJECTS:
            self.next += 1
            self.put(f"{self.calendar}{self.next}.ics", (201,))
        elif kind == "over" and known:
            self.put(self.random.choice(known), (201, 204))
        elif kind == "get" and known:
            self.ask((200, 404), "GET", self.random.choice(known))
        elif kind == "query":
            self.ask((207,), "REPORT", self.calendar, QUERY, Content_Type=XML, Depth="1")
        elif kind in ("delete", "put") and known:
            self.deleted += self.ask((204, 404), "DELETE", self.random.choice(known)).status == 204
        elif kind == "calendar":
            other = f"{self.account.home}soak-{self.number}-{self.next}-other/"
            if self.ask((201, 405), "MKCALENDAR", other).status == 201:
                self.put(f"{other}a.ics", (201,))
                self.ask((204,), "DELETE", other)
        elif kind == "compare":
            self.compare()
        elif kind == "sync":
            self.sync()
        elif kind == "close":
            self.dav.connection.close()
        else:
            self.ask((207,), "PROPFIND", self.calendar, POLL, Content_Type=XML, Depth="0")

    def run(self):
        try:
            self.ask((201,), "MKCALENDAR", self.calendar)
            while time.monotonic() < self.until and len(self.faults) < 20:
                self.act()
                time.sleep(self.random.uniform(0, 2 * self.pause))
            self.compare()
        except Exception as error:  # the thread's end is told with the other faults
            self.faults.append(f"{self.calendar}: {error!r}")


def sample(server: rig.Rig, clients: list[Client]) -> dict[str, float]:
    """What the server holds now."""
    process = Path(f"/proc/{server.process.pid}")
    return {
        "rss_mb": server.memory()["VmRSS"],
        "files": len(list((process / "fd").iterdir())),
        "threads": len(list((process / "task").iterdir())),
        "tombstones": sum(client.deleted for client in clients),
        "disk_mb": sum(file.stat().st_size for file in server.data.rglob("*") if file.is_file()) / 2**20,
    }


def grown(samples, key: str, most: float) -> tuple[float, float, bool]:
    """Means of the second and the last quarter, and whether the second is more than allowed above."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    before, after = (sum(one[key] for one in part) / len(part) for part in (early, late))
    return before, after, after > before * (1 + GROWTH) + most


def compacted(server: rig.Rig) -> str | None:
    """Stop the server and compact its database; what is wrong with the outcome."""
    server.stop()
    told = server.cli("compact").both
    print(told)
    found = re.search(r"rows of ([0-9.]+) MiB; .* takes ([0-9.]+) MiB now", told)
    if found is None:
        return "compact did not tell what it did"
    live, after = map(float, found.groups())
    return None if after <= COMPACTED * live + EMPTY_MIB else f"{after} MiB for {live} MiB of rows after compaction"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, default=rig.ROOT / "target/release/sealdav")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rate", type=float, default=4.0, help="requests a second of each client")
    parser.add_argument("--trash-days", type=int, default=0, help="days that what is deleted is kept (default 0)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--json", type=Path, help="where to write all samples")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="sealdav-s-") as folder:
        server = rig.Rig(Path(folder), options.server)
        server.shim["SEALDAV_TRASH_DAYS"] = str(options.trash_days)
        try:
            accounts = [server.add_account(f"user{n}") for n in range(ACCOUNTS)]
            server.start()
            until = time.monotonic() + options.minutes * 60
            clients = [
                Client(accounts[n % ACCOUNTS], n, options.seed + n, 1 / options.rate, until)
                for n in range(options.clients)
            ]
            for client in clients:
                client.start()
            samples = []
            while time.monotonic() < until and server.alive():
                time.sleep(min(SAMPLE_SECONDS, max(0.5, options.minutes * 60 / 40)))
                samples.append(sample(server, clients))
            for client in clients:
                client.join(120)
            faults = [fault for client in clients for fault in client.faults]
            if not server.alive():
                faults.append("the server ended")
            elif too_large := compacted(server):
                faults.append(too_large)
        finally:
            server.end()
    requests = sum(client.requests for client in clients)
    print(f"{requests} requests in {options.minutes:g} minutes by {options.clients} clients")
    bounds = {"rss_mb": GROWTH_MB, "files": GROWTH_FILES, "threads": GROWTH_FILES, "disk_mb": GROWTH_DISK_MB}
    early, late, _ = grown(samples, "tombstones", 0)
    bounds["rss_mb"] += (late - early) * TOMBSTONE_MB
    print(f"tombstones: {early:.0f} in the second quarter, {late:.0f} in the last")
    for key, most in bounds.items():
        before, after, too_much = grown(samples, key, most)
        print(f"{key}: {before:.1f} in the second quarter, {after:.1f} in the last, peak {max(one[key] for one in samples):.1f}")
        if too_much and not (key == "disk_mb" and options.trash_days):
            faults.append(f"{key} grows")
    if options.json:
        options.json.write_text(json.dumps({"seed": options.seed, "requests": requests, "samples": samples}, indent=1))
    for fault in faults[:20]:
        print(f"FAULT {fault}")
    print("FAILED" if faults else "passed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
