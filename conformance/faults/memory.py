#!/usr/bin/env python3
"""Memory and time of large collections.

    memory.py [--server target/release/sealdav] [--objects 100000] [--most-mb 48]

Fills a calendar over many connections, then measures the server's peak of memory (VmHWM, which
is begun anew through /proc/PID/clear_refs before each step) over what it holds at rest with the
calendar's index loaded:

- PROPFIND Depth 1 for getetag, and sync-collection from nothing: time to the first byte, total;
- several of them at once whose clients read slowly: what waits to be sent must not pile up;
- COPY of the calendar; DELETE of it, which answers at once and is purged behind; what other
  requests wait for meanwhile.

The status is 0 only when no growth was above --most-mb.
"""

import argparse
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

import rig
from harness.dav import Dav

XML = "application/xml; charset=utf-8"
PROPFIND = b'<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/></D:prop></D:propfind>'
SYNC = (
    b'<D:sync-collection xmlns:D="DAV:"><D:sync-token/><D:sync-level>1</D:sync-level>'
    b"<D:prop><D:getetag/></D:prop></D:sync-collection>"
)
# Listings at once, each read at this rate.
SLOW_READERS = 8
SLOW_BYTES_PER_SECOND = 2 * 1024 * 1024
# Seconds: a DELETE must answer in this time, whatever the calendar holds.
DELETE_SECONDS = 0.5
# Seconds without work after which a purge is over, and the longest it may take to begin and end.
QUIET_SECONDS = 3.0
PURGE_SECONDS = 600.0


class Listing(threading.Thread):
    """One listing on a connection of its own; the bytes are counted, not kept."""

    def __init__(self, server, request, rate=None):
        super().__init__(daemon=True)
        self.server, self.request, self.rate = server, request, rate
        self.first = self.total = 0.0
        self.bytes = self.responses = 0
        self.status, self.whole = 0, False

    def run(self):
        began = time.monotonic()
        with socket.socket() as wire:
            if self.rate:
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
            wire.settimeout(60)
            wire.connect(("127.0.0.1", self.server.port))
            wire.sendall(self.request)
            last = b""
            while not last.endswith((b"0\r\n\r\n", b"</D:multistatus>", b"</multistatus>")):
                piece = wire.recv(64 * 1024)
                if not piece:
                    break
                if not self.first:
                    self.first, self.status = time.monotonic() - began, int(piece[9:12])
                self.responses += (last[-16:] + piece).count(b"response>") - last[-16:].count(b"response>")
                self.bytes += len(piece)
                last = last[-16:] + piece
                if self.rate:
                    time.sleep(len(piece) / self.rate)
            else:
                self.whole = True
        self.total = time.monotonic() - began


def listings(server, requests, count: int, rate=None) -> tuple[list[Listing], float]:
    """Run listings at once; (them, growth of the peak in MB over what was held before)."""
    server.forget_peak()
    before = server.memory()["VmRSS"]
    readers = [Listing(server, request, rate) for request in requests]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
        assert reader.status == 207 and reader.whole, f"a listing was answered with {reader.status} and ended after {reader.bytes} bytes"
        responses = reader.responses // 2
        assert count <= responses <= count + 1, f"a listing has {responses} responses for {count} objects"
    return readers, server.memory()["VmHWM"] - before


def requests_of(account, calendar: str) -> dict[str, bytes]:
    """The two ways to list a calendar."""
    return {
        "PROPFIND": rig.head(account, "PROPFIND", calendar, PROPFIND, Depth="1", Content_Type=XML),
        "sync-collection": rig.head(account, "REPORT", calendar, SYNC, Depth="0", Content_Type=XML),
    }


class Prober(threading.Thread):
    """Small requests, one after the other, while something large goes on; notes the slowest."""

    def __init__(self, server, account, path: str):
        super().__init__(daemon=True)
        self.dav, self.path, self.account = Dav(account, None), path, account
        self.stop = threading.Event()
        self.count, self.slowest, self.bad = 0, 0.0, []

    def run(self):
        while not self.stop.is_set():
            began = time.monotonic()
            if self.count % 2:
                answer = self.dav.request("GET", self.path)
            else:
                answer = self.dav.request("PUT", self.path, rig.event("probe", str(self.count)), Content_Type="text/calendar")
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.count += 1
            if answer.status not in (200, 201, 204):
                self.bad.append(answer.status)
            time.sleep(0.01)

    def end(self) -> str:
        """Stop; a few words on what was served. Raises when something was not."""
        self.stop.set()
        self.join()
        assert not self.bad, f"other requests were answered with {sorted(set(self.bad))}"
        return f"{self.count} other requests meanwhile, the slowest {self.slowest * 1000:.0f} ms"


def timed(dav: Dav, method: str, path: str, **headers: str) -> float:
    """Seconds that a request takes; raises when it is refused."""
    began = time.monotonic()
    answer = dav.request(method, path, **headers)
    assert 200 <= answer.status < 300, f"{method} {path} answered {answer.status}"
    return time.monotonic() - began


def wait_for_purge(server) -> tuple[float, float]:
    """Wait until the server is at rest; (seconds until then, processor seconds used)."""
    began, used = time.monotonic(), server.cpu_seconds()
    last, since = used, began
    # The purge is looked for every minute.
    while time.monotonic() - began < PURGE_SECONDS:
        time.sleep(0.5)
        now = server.cpu_seconds()
        if now - last > 0.05:
            since = time.monotonic()
        last = now
        if time.monotonic() - since > QUIET_SECONDS and time.monotonic() - began > 63:
            return since - began, now - used
    raise AssertionError(f"the server is not at rest after {PURGE_SECONDS:.0f} s")


def check_listings(server, account, count: int, most: float) -> str:
    """One listing of each kind, then several with slow readers."""
    requests = requests_of(account, account.calendar)
    said, worst = [], 0.0
    # The first loads the index, which stays.
    began = time.monotonic()
    Dav(account, None).request("GET", f"{account.calendar}000000.ics")
    said.append(f"index loaded in {time.monotonic() - began:.2f} s")
    for name, request in requests.items():
        (one,), growth = listings(server, [request], count)
        worst = max(worst, growth)
        said.append(f"{name} {growth:.1f} MB, first byte {one.first * 1000:.0f} ms, {one.bytes / 2**20:.1f} MB in {one.total:.2f} s")
    several = list(requests.values()) * (SLOW_READERS // 2)
    readers, growth = listings(server, several, count, SLOW_BYTES_PER_SECOND)
    worst = max(worst, growth)
    said.append(f"{len(readers)} slow readers {growth:.1f} MB in {max(r.total for r in readers):.1f} s")
    memory = server.memory()
    text = f"growth: {'; '.join(said)}; at rest {memory['VmRSS']:.0f} MB"
    assert worst <= most, f"{worst:.1f} MB is more than {most:.0f} MB: {text}"
    return text


def check_copy(server, account) -> str:
    """COPY of the calendar, with other requests meanwhile."""
    dav, prober = Dav(account, None), Prober(server, account, f"{account.home}probe/probe.ics")
    server.forget_peak()
    before = server.memory()["VmRSS"]
    prober.start()
    seconds = timed(dav, "COPY", account.calendar, Destination=account.url(f"{account.home}copied/"))
    return f"{seconds:.2f} s, {server.memory()['VmHWM'] - before:.1f} MB, {prober.end()}"


def check_delete(server, account, wait: bool) -> str:
    """DELETE of the calendar: at once, purged behind."""
    dav, prober = Dav(account, None), Prober(server, account, f"{account.home}probe/probe.ics")
    server.forget_peak()
    before = server.memory()["VmRSS"]
    prober.start()
    seconds = timed(dav, "DELETE", account.calendar)
    text = f"answered in {seconds * 1000:.1f} ms"
    assert seconds <= DELETE_SECONDS, text
    assert dav.request("GET", f"{account.calendar}000000.ics").status == 404, "a member outlived its calendar"
    if wait:
        took, used = wait_for_purge(server)
        text += f", purged {took:.0f} s later"
    return f"{text}, {server.memory()['VmHWM'] - before:.1f} MB, {prober.end()}"


def run(server, account, count: int, most: float, wait: bool, record) -> None:
    """All checks on a running server whose account is empty."""
    load = rig.fill(server, account, account.calendar, count)
    print(f"{count} objects put at {load.rate:.0f}/s, the slowest took {load.slowest * 1000:.0f} ms", flush=True)
    Dav(account, None).mkcalendar(f"{account.home}probe/")
    record(f"listing {count} objects takes little memory", lambda: check_listings(server, account, count, most))
    record(f"COPY of a calendar of {count} objects", lambda: check_copy(server, account))
    record(f"DELETE of a calendar of {count} objects answers at once", lambda: check_delete(server, account, wait))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, default=rig.ROOT / "target/release/sealdav")
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--most-mb", type=float, default=48.0, help="growth allowed to each step")
    options = parser.parse_args()
    failed = []

    def record(name, check):
        try:
            print(f"passed  {name}: {check()}", flush=True)
        except AssertionError as error:
            failed.append(name)
            print(f"FAILED  {name}: {error}", flush=True)

    with tempfile.TemporaryDirectory(prefix="sealdav-m-") as folder:
        server = rig.Rig(Path(folder), options.server)
        try:
            account = server.add_account("anna")
            server.start()
            run(server, account, options.objects, options.most_mb, True, record)
        finally:
            server.end()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
