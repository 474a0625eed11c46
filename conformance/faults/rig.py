"""What the fault checks share: the server under the shim, and a load generator.

The server speaks plain HTTP on a free port of 127.0.0.1, with a data directory of its own that
is removed at the end. Everything here is Python's standard library.
"""

import base64
import http.client
import itertools
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

from harness.dav import Account  # noqa: E402
from harness.servers import Sealdav  # noqa: E402

SHIM_SOURCE = HERE / "fsync_order.c"
# Bytes of one read from a socket.
READ_BYTES = 256 * 1024

EVENT = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//sealdav//faults//EN\r\nBEGIN:VEVENT\r\n"
    "UID:{uid}\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260101T100000Z\r\nDURATION:PT1H\r\n"
    "SUMMARY:{summary}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


def event(uid: str, summary: str = "load") -> bytes:
    """A small event."""
    return EVENT.format(uid=uid, summary=summary).encode()


def build_shim(folder: Path) -> Path:
    """Compile fsync_order.so; raises CalledProcessError when it does not compile."""
    shim = folder / "fsync_order.so"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "-o", str(shim), str(SHIM_SOURCE), "-ldl"], check=True)
    return shim


def kill_group(process: subprocess.Popen) -> None:
    """SIGKILL for a process and its group, as a crash."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


class Rig(Sealdav):
    """A sealdav over plain HTTP, optionally with the shim loaded."""

    def __init__(self, logs: Path, binary: Path):
        super().__init__(logs, binary.resolve(), plain=True)
        self.shim: dict[str, str] = {}

    def command(self) -> list[str]:
        # env replaces itself by the server, so the process id is the server's.
        return ["env", *(f"{key}={value}" for key, value in self.shim.items()), *super().command()]

    def answers(self) -> bool:
        """Whether a request is answered: it listens before it has opened its store."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return bool(connection.getresponse().read())
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        if self.process is None:
            return
        self.process = kill_group(self.process)

    def end(self) -> None:
        """Kill what runs and delete the data."""
        self.kill()
        self.remove()

    def memory(self) -> dict[str, float]:
        """VmRSS and VmHWM in MB."""
        found = {}
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in ("VmRSS", "VmHWM"):
                found[name] = int(rest.split()[0]) / 1024
        return found

    def forget_peak(self) -> None:
        """Begin a new VmHWM."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def cpu_seconds(self) -> float:
        """Seconds of processor time used so far."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def head(account: Account, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """One whole request on HTTP/1.1, kept alive; `Content_Type=...` becomes `Content-Type: ...`."""
    secret = base64.b64encode(f"{account.name}:{account.password}".encode()).decode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Basic {secret}"]
    lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def put(account: Account, path: str, body: bytes) -> bytes:
    """A PUT of an event."""
    return head(account, "PUT", path, body, Content_Type="text/calendar")


@dataclass
class Load:
    """What a run of the load generator found."""

    seconds: float = 0.0
    slowest: float = 0.0
    statuses: Counter = field(default_factory=Counter)

    @property
    def good(self) -> int:
        """Answers with 2xx."""
        return sum(count for status, count in self.statuses.items() if 200 <= status < 300)

    @property
    def rate(self) -> float:
        """2xx for each second."""
        return self.good / self.seconds if self.seconds else 0.0


class Wire:
    """One kept-alive connection with at most one request under way."""

    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.wanted = 0  # bytes of the answer, once its head is there
        self.status = 0
        self.sent = 0.0

    def send(self, request: bytes) -> None:
        """Send one request; its answer is not waited for."""
        self.buffer, self.wanted, self.sent = b"", 0, time.monotonic()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Read what is there; True when the answer is complete. Raises when the connection ends."""
        found = self.socket.recv(READ_BYTES)
        if not found:
            raise ConnectionError("the server closed the connection")
        self.buffer += found
        if not self.wanted:
            at = self.buffer.find(b"\r\n\r\n")
            if at < 0:
                return False
            top = self.buffer[:at].lower()
            self.status = int(top[9:12])
            length = top.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0].strip()
            if not length and self.status != 204:
                raise ConnectionError(f"an answer {self.status} without Content-Length is not for this generator")
            self.wanted = at + 4 + int(length or 0)
        return len(self.buffer) >= self.wanted


def drive(port: int, requests, connections: int, seconds: float = 3600.0) -> Load:
    """Send requests over that many connections, each waiting for its answer before its next."""
    requests = iter(requests)
    load, busy = Load(), 0
    began = time.monotonic()
    wires = [Wire(port) for _ in range(connections)]
    with selectors.EpollSelector() as selector:
        for wire, request in zip(wires, itertools.islice(requests, connections)):
            wire.send(request)
            selector.register(wire.socket, selectors.EVENT_READ, wire)
            busy += 1
        while busy:
            ready = selector.select(60)
            if not ready:
                raise TimeoutError("no answer for 60 s")
            for key, _ in ready:
                wire = key.data
                if not wire.receive():
                    continue
                now = time.monotonic()
                load.slowest = max(load.slowest, now - wire.sent)
                load.statuses[wire.status] += 1
                request = next(requests, None) if now - began < seconds else None
                if request is None:
                    selector.unregister(wire.socket)
                    busy -= 1
                else:
                    wire.send(request)
    load.seconds = time.monotonic() - began
    for wire in wires:
        wire.socket.close()
    return load


def fill(rig: Rig, account: Account, calendar: str, count: int, connections: int = 64) -> Load:
    """Put that many small events into a calendar; raises if one was refused."""
    load = drive(rig.port, (put(account, f"{calendar}{n:06}.ics", event(f"load-{n}")) for n in range(count)), connections)
    if load.good != count:
        raise RuntimeError(f"filling the calendar was answered with {dict(load.statuses)}")
    return load
