#!/usr/bin/env python3
"""Fault sweep: the k-th write, sync, rename, open, truncation or removal fails, for every k.

    sweep.py [--server target/release/sealdav] [--stride 1] [--only sync:EIO] [--seed N] [--rounds N]

For each kind of call and each error (EIO, ENOSPC, for writes also a short write with ENOSPC after it)
a scripted session runs on a fresh copy of the same data, with the k-th call below the data directory
failing once (disk.c), for k = 1, 1 + stride, ... until a session has no more such calls. Then some
sessions in which all calls from the k-th on fail. In each:

- a server that cannot start says why in one sentence, with status 1, and does not panic;
- each request is answered within 10 seconds; the server does not end or panic;
- a write that did not become durable is answered 503 or 507, with a DAV:error or Retry-After; a read
  with what was acknowledged, or so;
- after a single failure, reads and writes work again within --recovery seconds without a restart;
- after kill -9 and a start on a disk that works again, all that was acknowledged is there, what was
  refused is there as a whole or not at all.

--rounds bounds the sessions of each kind and error (chosen at random by --seed). Exit status: 0 when
all of that held, else 1.
"""

import argparse
import collections
import dataclasses
import http.client
import random
import shutil
import struct
import sys
import tempfile
import time
from pathlib import Path

import oracle
import power_cuts
import rig
from harness.servers import ServerFailed

ERRORS = {"EIO": {"DISK_ERRNO": "5"}, "ENOSPC": {"DISK_ERRNO": "28"}, "short": {"DISK_SHORT": "1", "DISK_ERRNO": "28"}}
KINDS = ("write", "sync", "rename", "open", "truncate", "remove")
CASES = [(kind, error) for kind in KINDS for error in ("EIO", "ENOSPC", *(("short",) if kind == "write" else ()))]
ANSWER_SECONDS = 10.0
KNOWN = 4  # objects that are there from the beginning


class Broken(Exception):
    """What must not happen has happened."""


class Scene:
    """Data made once, and a server that is started on copies of it."""

    def __init__(self, folder: Path, binary: Path):
        self.folder, self.server = folder, rig.Rig(folder, binary)
        self.shim = power_cuts.build_shim(folder)
        account = self.server.add_account("anna")
        home = account.home
        self.user = oracle.User("anna", account.password, "127.0.0.1", self.server.port, home, (account.calendar, f"{home}second/"), ANSWER_SECONDS)
        self.server.start()
        client, self.known = oracle.Client(self.user), {}
        client.request("MKCALENDAR", self.user.calendars[1])
        for at in range(KNOWN):
            path, body = f"{account.calendar}w0-known{at}.ics", event(f"known{at}", 0)
            _, headers, _ = client.request("PUT", path, body, oracle.CALENDAR)
            self.known[path] = oracle.Object(f"known{at}", oracle.digest(body), headers["ETag"])
        self.server.stop()
        self.template, self.counts = folder / "template", folder / "counts"
        shutil.copytree(self.server.store, self.template, ignore=shutil.ignore_patterns("*.sock"))

    def fresh(self, shim: dict) -> None:
        """A copy of the data, and what the shim is to do."""
        shutil.rmtree(self.server.store, ignore_errors=True)
        shutil.copytree(self.template, self.server.store)
        self.server.store.chmod(0o700)
        self.counts.unlink(missing_ok=True)
        self.server.shim = {
            "LD_PRELOAD": str(self.shim), "DISK_DIR": str(self.server.store), "DISK_COUNTS": str(self.counts), **shim
        }

    def seen(self) -> dict:
        """Calls of each kind, and the failures made ("made")."""
        return dict(zip((*KINDS, "made"), struct.unpack("<7Q", self.counts.read_bytes()[:56])))


def event(uid: str, version: int, size: int = 100) -> bytes:
    """A body."""
    return oracle.EVENT.format(uid=uid, version=version, filler="x" * size).encode()


class Session:
    """The scripted session: what it was answered, and what it may believe."""

    def __init__(self, scene: Scene):
        self.scene, self.user = scene, scene.user
        self.client = oracle.Client(self.user)
        self.settled = {**scene.known, **{path: oracle.Collection() for path in self.user.calendars}}
        self.doubts, self.refused, self.closed_reads, self.slowest = [], 0, 0, 0.0

    def ask(self, method, path, body=None, headers=None):
        """One request, answered in time."""
        for attempt in (1, 2):
            began = time.monotonic()
            try:
                answer = self.client.request(method, path, body, headers)
            except (OSError, http.client.HTTPException) as error:
                # A server may close a kept connection; a second time is no accident.
                if attempt == 1 and isinstance(error, (ConnectionError, http.client.RemoteDisconnected)) and method in ("GET", "PROPFIND", "REPORT"):
                    continue
                raise Broken(f"no answer to {method} {path} in {time.monotonic() - began:.1f} s: {error!r}") from None
            self.slowest = max(self.slowest, time.monotonic() - began)
            return answer
        raise AssertionError("the loop returns or raises")

    def refusal(self, what, answer) -> None:
        """A refusal must be of the right kind."""
        status, headers, body = answer
        if status not in (503, 507):
            raise Broken(f"{what} was answered with {status}: {body[:200]!r}")
        if b":error" not in body and b"<error" not in body and not headers["Retry-After"]:
            raise Broken(f"{what}: {status} without DAV:error and without Retry-After")

    def read(self, path) -> None:
        """A read is answered with what is known, or refused."""
        answer = self.ask("GET", path)
        wanted = self.settled.get(path)
        if answer[0] == 200:
            if path not in self.doubtful() and (wanted is None or oracle.digest(answer[2]) != wanted.digest):
                raise Broken(f"GET {path} answered with other than what was acknowledged")
        elif not (answer[0] == 404 and wanted is None):
            self.refusal(f"GET {path}", answer)
            self.closed_reads += 1

    def doubtful(self) -> set:
        """Paths that a refused request may have changed."""
        return {path for doubt in self.doubts for path in doubt}

    def write(self, effects, method, path, body=None, headers=None) -> bool:
        """A request that changes something; whether it was acknowledged."""
        needed = {path, *effects, path[: path.rindex("/", 0, -1) + 1]}
        if needed & self.doubtful():
            return False
        answer = self.ask(method, path, body, headers)
        if answer[0] < 300 and not (answer[0] == 207 and b" 200 OK" not in answer[2]):
            if method == "PUT":
                effects = {path: dataclasses.replace(effects[path], etag=answer[1]["ETag"])}
            oracle.apply(self.settled, effects)
            return True
        self.doubts.append(effects)
        self.refused += 1
        if answer[0] == 207:
            if not any(f" {status} ".encode() in answer[2] for status in (503, 507)):
                raise Broken(f"{method} {path} was answered with {answer[2][:300]!r}")
        else:
            self.refusal(f"{method} {path}", answer)
        return False

    def put(self, path, uid, version, size=100, **headers) -> bool:
        """PUT."""
        body = event(uid, version, size)
        note = self.settled[path].note if path in self.settled else ""
        return self.write({path: oracle.Object(uid, oracle.digest(body), None, note)}, "PUT", path, body, {**oracle.CALENDAR, **headers})

    def run(self) -> None:
        """The script: every method that writes, with reads between."""
        (main, second), host = self.user.calendars, f"http://{self.user.host}:{self.user.port}"
        known = list(self.scene.known)
        for at in range(2):
            own, name = f"{self.user.home}own-0-{at}/", f"{main}w0-{at}.ics"
            self.put(name, f"uid{at}", 1)
            self.read(known[0])
            if name in self.settled:
                self.put(name, f"uid{at}", 2, If_Match=self.settled[name].etag)
            self.put(f"{main}w0-large{at}.ics", f"large{at}", 1, 150_000)
            if name in self.settled:
                after = dataclasses.replace(self.settled[name], note="note")
                self.write({name: after}, "PROPPATCH", name, oracle.NOTE.format("note"), oracle.XML)
            self.write({own: oracle.Collection()}, "MKCALENDAR", own)
            self.read(known[1])
            self.write({own: oracle.Collection("note")}, "PROPPATCH", own, oracle.NOTE.format("note"), oracle.XML)
            if name in self.settled:
                to = f"{second}w0-{at}.ics"
                after = dataclasses.replace(self.settled[name], etag=None)
                self.write({to: after}, "COPY", name, None, {"Destination": host + to})
            if own in self.settled:
                self.put(f"{own}w0-in.ics", "in", 1)
            if name in self.settled:
                to, after = f"{main}w0-{at}-moved.ics", dataclasses.replace(self.settled[name], etag=None)
                self.write({name: None, to: after}, "MOVE", name, None, {"Destination": host + to})
            self.write({known[2 + at]: None}, "DELETE", known[2 + at])
            if own in self.settled and not any(path.startswith(own) for path in self.doubtful()):
                self.write({path: None for path in self.settled if path.startswith(own)}, "DELETE", own)
            answer = self.ask("PROPFIND", main, oracle.LISTING, {"Depth": "1", **oracle.XML})
            if answer[0] != 207:
                self.refusal("PROPFIND", answer)
                self.closed_reads += 1

    def recovered(self, seconds: float) -> float:
        """How long it takes until a read and a write work again."""
        began, at = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            self.client.close()
            path = f"{self.user.calendars[0]}w0-again{at}.ics"
            at += 1
            reads = self.ask("GET", next(iter(self.scene.known)))[0] == 200
            if self.put(path, f"again{at}", 1) and reads:
                return time.monotonic() - began
            time.sleep(0.1)
        raise Broken(f"a single failure was not got over within {seconds} s")


def check_after(session: Session) -> None:
    """On a disk that works: nothing acknowledged is lost, what was refused is whole."""
    client = oracle.Client(session.user)
    found = oracle.Found(client)
    doubtful = session.doubtful()
    for path in sorted(set(session.settled) | set(found.states) | doubtful):
        if not path.endswith("/"):
            found.read(path)
        if path not in doubtful and not oracle.is_as(session.settled.get(path), found.states.get(path)):
            raise Broken(f"{path} is {oracle.say(found.states.get(path))}, acknowledged was {oracle.say(session.settled.get(path))}")
    if found.faults:
        raise Broken(found.faults[0])
    for doubt in session.doubts:
        after = dict(session.settled)
        oracle.apply(after, doubt)
        if not any(all(oracle.is_as(world.get(path), found.states.get(path)) for path in doubt) for world in (session.settled, after)):
            raise Broken(f"half done: { {path: oracle.say(found.states.get(path)) for path in doubt} }")
    client.close()


def run_one(scene: Scene, kind: str, error: str, k: int, times: int, recovery: float, figures) -> bool:
    """One session; whether its k-th call was reached. Raises Broken."""
    scene.fresh({"DISK_FAIL": kind, "DISK_AT": str(k), "DISK_TIMES": str(times), **ERRORS[error]})
    server, position = scene.server, scene.server.log_size()
    session = Session(scene)
    try:
        try:
            server.start()
        except ServerFailed:
            status = server.process.returncode if server.process else None
            said = server.log.read_text("utf-8", "replace")[-600:].strip().splitlines()[-1:]
            if status != 1 or not said or not said[0].startswith("sealdav: "):
                raise Broken(f"it did not start: status {status}, said {said}") from None
            figures["not started"] += 1
            figures["sentence " + said[0].replace(str(server.store), "DATA")] += 1
        else:
            session.run()
            if times == 1:
                longest = session.recovered(recovery)
                figures["slowest recovery"] = max(figures["slowest recovery"], longest)
        if server.process and server.process.poll() not in (None, 1):
            raise Broken(f"the server ended with {server.process.returncode}: {server.log_tail()}")
        made = scene.seen()["made"]
    finally:
        server.kill()
        server.shim = {}
    panics = [line for line in server.panics_since(position) if "sled" not in line]
    if panics:
        raise Broken(f"it panicked: {panics[0]}")
    server.start()
    try:
        check_after(session)
    finally:
        server.kill()
    figures["sessions"] += 1
    figures["with a failure"] += made > 0
    figures["refused writes"] += session.refused
    figures["refused reads"] += session.closed_reads
    figures["slowest answer"] = max(figures["slowest answer"], session.slowest)
    return made > 0


def sweep(binary: Path, folder: Path, options, report=print):
    """All sessions; (faults, figures)."""
    scene, faults, figures = Scene(folder, binary), [], collections.Counter()
    chance = random.Random(options.seed)
    try:
        scene.fresh({})
        scene.server.start()
        Session(scene).run()
        scene.server.kill()
        totals = scene.seen()
        report(f"calls of a session without failures: {totals}", flush=True)
        for kind, error in CASES:
            if options.only and f"{kind}:{error}" not in options.only:
                continue
            first = chance.randrange(options.stride) + 1
            singles = [(k, 1) for k in range(first, totals[kind] + 1, options.stride)]
            lasting = [(k, 0) for k in range(first, totals[kind] + 1, options.stride * options.lasting)]
            if options.rounds is not None:
                singles = sorted(chance.sample(singles, min(options.rounds, len(singles))))
                lasting = sorted(chance.sample(lasting, min(max(1, options.rounds // 4), len(lasting))))
            beyond = totals[kind]
            for k, times in [*singles, *lasting]:
                faults += one(scene, kind, error, k, times, options, figures, report)
            while options.rounds is None and options.stride == 1 and beyond < totals[kind] + 200:
                # A session that differs a little may have more of them.
                beyond, before = beyond + 1, figures["with a failure"]
                faults += one(scene, kind, error, beyond, 1, options, figures, report)
                if figures["with a failure"] == before:
                    break
            report(f"{kind} {error}: {len(singles)} single, {len(lasting)} lasting; {len(faults)} faults", flush=True)
    finally:
        scene.server.end()
    return faults, figures


def one(scene, kind, error, k, times, options, figures, report):
    """One session, its faults as texts."""
    try:
        run_one(scene, kind, error, k, times, options.recovery, figures)
        return []
    except (Broken, oracle.Refused, OSError, http.client.HTTPException, ServerFailed) as fault:
        which = "once" if times else "and all after it"
        text = f"{kind} {error}, number {k} {which}: {fault}"
        report(f"FAULT {text}", flush=True)
        return [text]


def summary(faults, figures, seed) -> str:
    """The figures in a sentence."""
    return (
        f"seed {seed}: {figures['sessions']} sessions, {figures['with a failure']} with a failure, {figures['not started']} not started, "
        f"{figures['refused writes']} writes and {figures['refused reads']} reads refused, slowest answer "
        f"{figures['slowest answer']:.1f} s, slowest recovery {figures['slowest recovery']:.1f} s, {len(faults)} faults"
    )


def parse(words=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, default=rig.ROOT / "target/release/sealdav")
    parser.add_argument("--stride", type=int, default=1, help="every how many calls one fails")
    parser.add_argument("--lasting", type=int, default=4, help="of these, every how many all from there on fail")
    parser.add_argument("--rounds", type=int, default=None, help="at most so many sessions of each kind and error")
    parser.add_argument("--recovery", type=float, default=15.0, help="seconds to get over a single failure")
    parser.add_argument("--only", action="append", help="KIND:ERROR, such as sync:EIO")
    parser.add_argument("--sentences", action="store_true", help="print what was said when it did not start")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(words)
    if options.seed is None:
        options.seed = random.SystemRandom().getrandbits(32)
    return options


def main() -> int:
    options = parse()
    with tempfile.TemporaryDirectory(prefix="sealdav-w-") as folder:
        faults, figures = sweep(options.server.resolve(), Path(folder), options)
    if options.sentences:
        for name in sorted(figures):
            if name.startswith("sentence "):
                print(f"{figures[name]:4} x {name.removeprefix('sentence ')}")
    print(summary(faults, figures, options.seed))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
