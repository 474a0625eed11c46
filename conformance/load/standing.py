"""What this server takes beside time: to start, on the disk, in memory, and for more and more accounts.

Each part makes a server of its own, fills it by PUT, measures, checks, and deletes it.
"""

import base64
import http.client
import json
import os
import re
import secrets
import signal
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import install, proc
from harness.dav import Account
from harness.servers import START_TIMEOUT, Sealdav, Server

POLL = (
    b'<D:propfind xmlns:D="DAV:" xmlns:S="http://calendarserver.org/ns/"><D:prop><S:getctag/><D:sync-token/></D:prop></D:propfind>'
)
XML = {"Content-Type": "application/xml; charset=utf-8"}
# Seconds before the first answer that counts; as in the generator.
WARM_UP = 0.3
# The least that may be configured: making a thousand accounts takes minutes instead of an hour.
QUICK_PASSWORDS = "[argon2]\nmemory_kib = 19456\npasses = 1\n"


class Wrong(Exception):
    """An answer was wrong, or something that had to be there is missing."""


class Own(Sealdav):
    """This server with settings of its own."""

    def __init__(self, logs: Path, binary: Path, settings: str = "", plain: bool = True):
        super().__init__(logs, binary, plain)
        self.config = self.data / "sealdav.toml"
        self.config.write_text(settings)

    def command(self) -> list[str]:
        return [*super().command(), "--config", str(self.config)]

    def cli(self, *arguments: str, stdin: str = "", check: bool = True, timeout: float = 300) -> proc.Output:
        command = [str(self.binary), *arguments, "--data", str(self.store), "--config", str(self.config)]
        return proc.run(command, env=proc.environment(self.data), stdin=stdin, check=check, timeout=timeout)

    def kill(self) -> None:
        """kill -9."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def memory(self) -> dict:
        """Resident bytes now and at the most since it started, as MB of 10^6."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return {name: int(fields[key].split()[0]) * 1024 / 1e6 for name, key in (("now", "VmRSS"), ("most", "VmHWM"))}

    def processor(self) -> float:
        """Seconds of processor time that it took so far, the kernel's for it too."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Generator:
    """Calls of the generator on one server."""

    def __init__(self, load: Path, server: Own, journal: Path, patience: float):
        self.load, self.server, self.journal, self.patience = load, server, journal, patience

    def one(self, workload: str, account: Account, objects: int, connections: int, seconds: float = 1, *more: str) -> dict:
        """A workload on one account."""
        who = ["--home", account.home, "--user", account.name, "--password", account.password, "--exact", *more]
        return self.run(workload, objects, connections, seconds, who)

    def many(self, workload: str, accounts: Path, objects: int, connections: int, seconds: float = 1) -> dict:
        """A workload over all accounts of a file."""
        who = ["--home", "/dav/calendars/", "--accounts", str(accounts)]
        return self.run(f"users-{workload}", objects, connections, seconds, who)

    def run(self, workload: str, objects: int, connections: int, seconds: float, who: list[str]) -> dict:
        who += ["--ca", str(self.server.ca)] if self.server.ca else []
        command = [
            *[str(self.load), workload, "--base", self.server.base, "--journal", str(self.journal), *who],
            *["--objects", str(objects), "--connections", str(connections), "--seconds", str(seconds)],
        ]
        before = self.server.processor()
        done = proc.run(command, timeout=self.patience, check=False)
        if done.code != 0:
            raise Wrong(done.err.strip()[-400:])
        result = json.loads(done.out)
        # The warm-up is not among the answers but costs as much for each.
        share = result["seconds"] / (result["seconds"] + WARM_UP)
        result["processor_ms"] = (self.server.processor() - before) * share * 1e3 / result["answers"]
        return result


def start(options, load: Path, logs: Path) -> dict:
    """From the start of the process to the first right answers, with all objects in one calendar."""
    server = Own(logs, options.binaries["sealdav"].resolve(), "password_over_dav = true\n")
    try:
        server.start()
        account = server.add_account("load")
        generator = Generator(load, server, server.data / "journal", options.patience)
        began = time.monotonic()
        generator.one("fill", account, options.start_objects, 64)
        result = {"objects": options.start_objects, "filling": time.monotonic() - began}
        server.stop()
        result["written"] = sizes(server.store / "db")["bytes"]
        result["filled"] = [cold(server, account, load, options.start_objects)]
        for kind in ("clean", "killed", "compacted"):
            result[kind] = []
            if kind == "compacted":
                server.stop()
                server.cli("compact")
                result["bytes"] = sizes(server.store / "db")["bytes"]
                server.start()
            for _ in range(options.rounds):
                if kind != "compacted":
                    generator.one("put", account, options.start_objects, 8, 1.0)
                server.kill() if kind == "killed" else server.stop()
                result[kind].append(cold(server, account, load, options.start_objects))
        server.stop()
        # The account's own password costs an Argon2 run, which an app password does not.
        own = Account(**{**vars(account), "password": server.account_password(account.name)})
        result["password"] = [cold(server, own, load, options.start_objects)]
        generator.one("verify", account, options.start_objects, 8)
        return result
    finally:
        end(server, options)


def cold(server: Server, account: Account, load: Path, objects: int, exact: bool = True) -> dict:
    """One start: milliseconds to the first answer of any kind, to that of a poll, and to that of a GET.

    A server that is not `exact` may answer with another spelling of the object.
    """
    number = secrets.randbelow(objects - 10) + 10
    made = proc.run([str(load), "event", "--objects", str(objects), "--number", str(number)]).out
    name, _, body = made.partition("\n")
    secret = base64.b64encode(f"{account.name}:{account.password}".encode()).decode()
    head = {"Authorization": f"Basic {secret}"}
    times = {}
    with server.log.open("ab") as log:
        began = time.monotonic()
        server.process = subprocess.Popen(
            server.command(), env=proc.environment(server.data), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )

    def ask(what: str, method: str, path: str, content: bytes | None, headers: dict) -> tuple[int, bytes]:
        connection.request(method, path, content, headers)
        answer = connection.getresponse()
        told = answer.status, answer.read()
        times[what] = (time.monotonic() - began) * 1e3
        return told

    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=START_TIMEOUT)
            connection.connect()
            break
        except ConnectionRefusedError:
            if server.process.poll() is not None or time.monotonic() - began > START_TIMEOUT:
                raise Wrong(f"does not start: {server.log_tail()}") from None
            time.sleep(0.0005)
    times["listens"] = (time.monotonic() - began) * 1e3
    ask("answers", "GET", account.home, None, {})
    status, told = ask("poll", "PROPFIND", f"{account.home}large/", POLL, {**head, "Depth": "0", **XML})
    if status != 207 or b"sync-token>" not in told:
        raise Wrong(f"the first poll was answered {status}: {told[:200]!r}")
    status, told = ask("get", "GET", f"{account.home}large/{name}", None, head)
    if status != 200 or (told != body.encode() if exact else name.removesuffix(".ics").encode() not in told):
        raise Wrong(f"the first GET was answered {status}: {told[:200]!r}")
    connection.close()
    times["memory"] = server.memory()["now"] if isinstance(server, Own) else None
    return times


def disk(options, load: Path, logs: Path) -> dict:
    """Bytes of the database for each object, and what they are."""
    server = Own(logs, options.binaries["sealdav"].resolve())
    try:
        server.start()
        account = server.add_account("load")
        generator = Generator(load, server, server.data / "journal", options.patience)
        generator.one("fill", account, options.objects, 64)
        server.stop()
        result = {"objects": options.objects, "put": sizes(server.store / "db")}
        result["told"] = server.cli("compact").out.strip()
        result["compacted"] = sizes(server.store / "db")
        result["rows"] = json.loads(proc.run([str(load), "rows", "--directory", str(server.store / "db/rows")]).out)
        example = proc.run([str(load), "event", "--objects", str(options.objects), "--number", "7"]).out
        result["event"] = len(example.partition("\n")[2].encode())
        server.start()
        generator.one("verify", account, options.objects, 8)
        return result
    finally:
        end(server, options)


def sizes(directory: Path) -> dict:
    """Lengths of all files below, and what the file system gave them."""
    found = [path.stat() for path in directory.rglob("*") if path.is_file()]
    return {"bytes": sum(one.st_size for one in found), "blocks": sum(one.st_blocks * 512 for one in found)}


def accounts(server: Own, names: list[str], file: Path) -> float:
    """Makes accounts with app passwords, two at a time, and adds them to the file; seconds it took."""
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(server.add_account, names))
    with file.open("a") as listed:
        listed.writelines(f"{one.name} {one.password}\n" for one in made)
    return time.monotonic() - began


def memory(options, load: Path, logs: Path) -> dict:
    """Resident memory while 50 users with 2,000 events each poll, read, ask for a month and write."""
    server = Own(logs, options.binaries["sealdav"].resolve(), QUICK_PASSWORDS)
    try:
        server.start()
        generator = Generator(load, server, server.data / "journal", options.patience)
        listed = server.data / "accounts"
        users, objects = options.users, options.user_objects
        result = {"users": users, "objects": objects, "made": accounts(server, [f"u{n}" for n in range(users)], listed)}
        generator.many("make", listed, objects, 8)
        began = time.monotonic()
        generator.many("fill", listed, objects, 64)
        result["filled"] = time.monotonic() - began
        result["after_filling"] = server.memory()
        server.restart()
        result["started"] = server.memory()
        result["course"] = []
        steps = 6
        for _ in range(steps):
            done = generator.many("mixed", listed, objects, 50, options.active_seconds / steps)
            result["course"].append({**server.memory(), **done})
        time.sleep(10)
        result["quiet"] = server.memory()
        server.kill()
        server.start()
        result["verified"] = generator.many("verify", listed, objects, 16)["answers"]
        return result
    finally:
        end(server, options)


def growth(options, load: Path, logs: Path) -> dict:
    """Rates over all accounts, memory and start, with more and more of them."""
    server = Own(logs, options.binaries["sealdav"].resolve(), QUICK_PASSWORDS)
    objects = 20
    try:
        server.start()
        generator = Generator(load, server, server.data / "journal", options.patience)
        listed, known, result = server.data / "accounts", 0, {"objects": objects, "sizes": []}
        for count in options.accounts:
            made = accounts(server, [f"u{n}" for n in range(known, count)], listed)
            fresh = server.data / "fresh"
            fresh.write_text("".join(f"{line}\n" for line in listed.read_text().splitlines()[known:count]))
            known = count
            generator.many("make", fresh, objects, 8)
            generator.many("fill", listed, objects, 64)
            server.stop()
            first, password = listed.read_text().splitlines()[0].split(" ")
            account = Account(first, "", password, server.base, "", f"/dav/calendars/{first}/", "", "", "")
            size = {"accounts": count, "made": made, "start": cold(server, account, load, objects), "figures": {}}
            size["signed_in"] = generator.many("poll", listed, objects, 8, max(2.0, count / 100))
            size["processor_ms"] = {}
            for workload in ("get", "poll", "put"):
                runs = [generator.many(workload, listed, objects, 8, options.seconds) for _ in range(options.rounds)]
                size["figures"][workload] = statistics.median(run["rate"] for run in runs)
                size["processor_ms"][workload] = statistics.median(run["processor_ms"] for run in runs)
            size["memory"] = server.memory()
            result["sizes"].append(size)
            print(f"{count} accounts: {size['figures']}, {size['memory']}", flush=True)
        server.kill()
        server.start()
        result["verified"] = generator.many("verify", listed, objects, 16)["answers"]
        return result
    finally:
        end(server, options)


def tls(options, load: Path, logs: Path) -> dict:
    """GETs with TLS: on kept connections, on new ones with and without resumption, and over HTTP/2."""
    install.APT_PACKAGES["h2load"] = "nghttp2-client"
    install.apt("h2load")
    result: dict = {}
    for plain in (True, False):
        server = Own(logs, options.binaries["sealdav"].resolve(), plain=plain)
        try:
            server.start()
            account = server.add_account("load")
            generator = Generator(load, server, server.data / "journal", options.patience)
            generator.one("fill", account, 1_000, 64)
            ways = {"kept": [], "new": ["--fresh"]} | ({} if plain else {"new, not resumed": ["--fresh", "--no-resumption"]})
            for way, more in ways.items():
                runs = [generator.one("get", account, 1_000, 8, options.seconds, *more)["rate"] for _ in range(options.rounds)]
                result[f"{'plain' if plain else 'TLS'}, {way}"] = statistics.median(runs)
            for streams in () if plain else (0, 1, 16):
                runs = [h2load(server, account, load, streams, options.seconds) for _ in range(options.rounds)]
                name = f"TLS, h2load, {f'HTTP/2, streams at once {streams}' if streams else 'HTTP/1.1'}"
                result[name] = statistics.median(runs)
        finally:
            end(server, options)
    return result


def h2load(server: Own, account: Account, load: Path, streams: int, seconds: float) -> float:
    """Rate of GETs of one object over 8 connections by nghttp2's generator, which counts statuses and bytes only."""
    name, _, body = proc.run([str(load), "event", "--objects", "1000", "--number", "20"]).out.partition("\n")
    secret = base64.b64encode(f"{account.name}:{account.password}".encode()).decode()
    how = ["-m", str(streams)] if streams else ["--h1"]
    command = ["h2load", *how, "-c", "8", "-t", "1", "-D", str(max(1, round(seconds))), "--warm-up-time", "1s"]
    command += ["-H", f"Authorization: Basic {secret}", f"{server.base}{account.home}large/{name}"]
    told = proc.run(command, timeout=120).out
    rate, done = (re.search(pattern, told) for pattern in (r"([\d.]+) req/s", r"(\d+) succeeded, (\d+) failed, (\d+) errored"))
    if not rate or not done or done[2] != "0" or done[3] != "0" or re.search(r"[1-9]\d* [345]xx", told):
        raise Wrong(f"h2load: {told[-600:]}")
    return float(rate[1])


def end(server: Server, options) -> None:
    """Stop, and delete what it stored."""
    if server.alive():
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
    if not options.keep:
        server.remove()


PARTS = {"start": start, "disk": disk, "memory": memory, "accounts": growth, "tls": tls}
