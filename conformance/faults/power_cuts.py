#!/usr/bin/env python3
"""Power cuts: whatever was not synced may be lost, torn or out of order; nothing acknowledged may.

    power_cuts.py [--server target/release/sealdav] [--rounds 500] [--seconds 2] [--seed N] [--churn] [--lie] [--keep DIR]

Clients of oracle.py write to the server, which is stopped in order once and started again, while
disk.c traces each write, change of a name, sync and answer. Then, for each of --rounds moments of
the trace (just after an answer, during a sync, or anywhere), disk.py builds a disk that a power
cut at that moment may have left; the server is started on it and must

- open,
- hold everything that it had acknowledged before that moment, as kill_rounds.py has it,
- accept the token of each replica as it then was, and bring it to the listing.

The moments are spread over several traces of --cuts each. With --init the trace is that of two
`user add`, of which the first makes the data directory: a user whose command had ended must be
there, another can be added (or is there as a whole), and the server must start.

With --churn few objects are overwritten all the time with bodies of a megabyte or so, without trash,
by many clients at once, until over 100 MB were written: so the database uses segments of its file
again (how often, is said), and one sync covers several segments. The cuts then fall into the second
half of the trace.

--lie shows that the check can fail: the disk then treats every sync as if it had not been, and the
check must find losses. Prints its seed and figures. Exit status: 0 when nothing was lost, else 1.
"""

import argparse
import collections
import dataclasses
import http.client
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import disk
import oracle
import rig
from harness import proc
from harness.servers import ServerFailed

SHIM_SOURCE = rig.HERE / "disk.c"
USERS = 2
# Bytes of a segment of the database file (STORE_SEGMENT_BYTES).
SEGMENT_BYTES = 8 * 1024 * 1024
# Writes to the database without a sync between them that make a moment worth a cut.
DEEP = 4
# What must have been written to the database in a trace of --churn, and how much more is waited for.
CHURN_BYTES, CHURN_SECONDS = 100_000_000, 60.0


class Churner(oracle.Writer):
    """Overwrites few objects with large bodies, now and then by way of a deletion."""

    def size(self) -> int:
        return self.random.choice((200_000, 900_000, 1_500_000, 2_500_000, 6_000_000 if self.random.random() < 0.3 else 100))

    def once(self):
        path = f"{self.user.calendars[0]}w{self.number}-{self.random.randrange(self.objects)}.ics"
        before = self.now.get(path)
        if before is None:
            return self.put("PUT new", path, self.hex(), {"If-None-Match": "*"})
        if self.random.random() < 0.05:
            return self.change("DELETE", {path: None}, "DELETE", path)
        return self.put("PUT over", path, before.uid, {"If-Match": before.etag}, before.note)


@dataclasses.dataclass(frozen=True)
class Load:
    """What the clients of a trace do."""

    writer: type = oracle.Writer
    writers: int = 3  # of each user
    objects: int = 8  # names of each in each calendar
    churn: bool = False
    settings: tuple = ()  # environment of the server


MIXED = Load()
CHURN = Load(Churner, 6, 2, True, (("SEALDAV_TRASH_DAYS", "0"), ("SEALDAV_TRASH_VERSIONS", "0")))


def build_shim(folder: Path) -> Path:
    """Compile disk.so; raises CalledProcessError when it does not compile."""
    shim = folder / "disk.so"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "-o", str(shim), str(SHIM_SOURCE), "-ldl"], check=True)
    return shim


class Session:
    """A server with users, and what it and its clients did while it was traced."""

    def __init__(self, folder: Path, binary: Path, shim: Path, seconds: float, seed: int, load: Load):
        folder.mkdir()
        self.load = load
        self.folder, self.seconds, self.chance = folder, seconds, random.Random(seed)
        self.server = rig.Rig(folder, binary)
        self.shim, self.trace = shim, folder / "trace"
        self.writers, self.history, self.wanted = [], [], CHURN_BYTES * 3 // 5

    def run(self, syncs_count: bool):
        """Make the users, trace the writing; (disk at its beginning, records)."""
        server = self.server
        accounts = [server.add_account(f"user{at}") for at in range(USERS)]
        self.users = [
            oracle.User(one.name, one.password, "127.0.0.1", server.port, one.home, (one.calendar, f"{one.home}second/"))
            for one in accounts
        ]
        server.start()
        for user in self.users:
            status, _, _ = oracle.Client(user).request("MKCALENDAR", user.calendars[1])
            assert status == 201, f"MKCALENDAR was answered with {status}"
        server.stop()
        copy = self.folder / "begin"
        shutil.copytree(server.store, copy, ignore=shutil.ignore_patterns("*.sock"))
        start = disk.Disk(server.store, copy, syncs_count)
        settings = dict(self.load.settings)
        server.shim = {"LD_PRELOAD": str(self.shim), "DISK_DIR": str(server.store), "DISK_TRACE": str(self.trace), **settings}
        for number in range(USERS * self.load.writers):
            self.writers.append(self.writer(self.users[number % USERS], number, {}, None))
        replicas = {user: [oracle.Replica(user, path) for path in user.calendars] for user in self.users}
        for _ in range(2):
            server.start()
            self.write_for_a_while(replicas)
            server.stop()
        server.shim = settings
        return start, disk.read_trace(self.trace)

    def writer(self, user, number, settled, stop):
        """A client."""
        return self.load.writer(user, number, settled, stop, self.chance.getrandbits(64), self.load.objects)

    def write_for_a_while(self, replicas) -> None:
        """One opening of the server: its clients write and stop."""
        stop, threads = threading.Event(), []
        for at, old in enumerate(self.writers):
            new = self.writer(old.user, old.number, old.now, stop)
            new.began, new.steps = old.began, old.steps
            self.writers[at] = new
            threads.append(new)
        for user, kept in replicas.items():
            watcher = oracle.Watcher(user, kept, stop)
            watcher.keep, watcher.history = True, self.history
            threads.append(watcher)
        for one in threads:
            one.start()
        time.sleep(self.seconds / 2)
        until = time.monotonic() + CHURN_SECONDS / 2
        while self.load.churn and self.trace.stat().st_size < self.wanted and time.monotonic() < until:
            time.sleep(0.05)
        self.wanted *= 2
        stop.set()
        for one in threads:
            one.join()
            assert not one.trouble and not one.refused, f"a client broke: {one.trouble} {one.refused[:3]}"
            assert not getattr(one, "failed", False), "a request was answered with 5xx"


class Answers:
    """When each answer left, by the port of its client and its number there."""

    def __init__(self, records):
        self.by_port = collections.defaultdict(list)
        for record in records:
            if record.what == disk.ANSWER:
                self.by_port[record.a].append(record.at)

    def before(self, moment: int):
        """Whether an answer left at that moment or before."""
        return lambda place: self.by_port[place[0]][place[1] - 1] <= moment


def check_image(session: Session, image: Path, answers: Answers, moment: int):
    """Start the server on a disk and compare: (acknowledged before the cut, faults)."""
    server, acknowledged, faults = session.server, 0, []
    if server.store.exists():
        shutil.rmtree(server.store)
    image.rename(server.store)
    until = answers.before(moment)
    try:
        server.start()
    except ServerFailed as error:
        return 0, [f"it does not open: {error}"]
    try:
        for user in session.users:
            client = oracle.Client(user)
            found = oracle.Found(client)
            for writer in (one for one in session.writers if one.user is user):
                settled, doubt, touched = oracle.fold(writer.began, writer.steps, until)
                acknowledged += sum(step.place is not None and until(step.place) for step in writer.steps)
                # Of what was not touched yet nothing may be there.
                touched = {path for path in touched | set(writer.now) if path in settled or path in found.states}
                faults += oracle.check_writer(found, writer.number, settled, doubt, touched)[1]
            latest = {}
            for place, replica, token, etags in session.history:
                if replica.user is user and until(place):
                    latest[replica.calendar] = token, etags
            for calendar in user.calendars:
                replica = oracle.Replica(user, calendar)
                if calendar in latest:
                    replica.token, replica.etags = latest[calendar][0], dict(latest[calendar][1])
                faults += replica.check(client, found)
            client.close()
    except (OSError, http.client.HTTPException, oracle.Refused) as error:
        time.sleep(0.2)
        ended = "lives" if server.alive() else f"ended with {server.process.returncode}: {server.log_tail()[-900:]}"
        faults.append(f"it does not answer: {error!r}; the server {ended}")
    finally:
        server.kill()
    return acknowledged, faults


def moments(records, count: int, chance, load: Load):
    """Where to cut: just after an answer, during a sync, and anywhere; of a churn in the second half,
    mostly where much is not synced."""
    if load.churn:
        late, deep = churned(records)
        return sorted(chance.choice((late, deep, deep)[at % 3]) for at in range(count))
    answers = [record.at for record in records if record.what == disk.ANSWER]
    syncs = [record.at for record in records if record.what == disk.SYNC]
    return sorted(chance.choice((answers, syncs, range(len(records)))[at % 3]) for at in range(count))


def churned(records):
    """The writes to the database in the second half of a trace, and those of them before which a few
    others are not synced yet."""
    inode, unsynced, late, deep = database(records), 0, [], []
    for record in records:
        if record.inode == inode and record.what == disk.SYNCED and record.b:
            unsynced = 0
        elif record.inode == inode and record.what == disk.WRITE:
            unsynced += 1
            if record.at >= len(records) // 2:
                late.append(record.at)
                if unsynced >= DEEP:
                    deep.append(record.at)
    return late, deep or late


def database(records) -> int:
    """The file to which most was written."""
    sizes = collections.Counter()
    for record in records:
        if record.what == disk.WRITE:
            sizes[record.inode] += len(record.data)
    return sizes.most_common(1)[0][0]


def reuse(records):
    """(bytes written to the database, segments begun in a place that had one before, most bytes that
    one sync covered)."""
    inode, seen, total, again, covered, most = database(records), set(), 0, 0, 0, 0
    for record in records:
        if record.inode == inode and record.what == disk.WRITE:
            total, covered = total + len(record.data), covered + len(record.data)
            # A segment begins with its head; what an opening puts over unused ones is one byte repeated.
            if record.a % SEGMENT_BYTES == 0 and len(set(record.data[:20])) > 1:
                again += record.a in seen
                seen.add(record.a)
        elif record.inode == inode and record.what == disk.SYNCED and record.b:
            most, covered = max(most, covered), 0
    return total, again, most


def keep_fault(to: Path, session: Session, image: Path, moment: int) -> None:
    """Put aside a disk on which something was wrong, and the trace to the moment of its cut."""
    to.mkdir(parents=True)
    image.rename(to / "disk")
    shutil.copy(session.trace, to / "trace")
    (to / "moment").write_text(f"{moment}\n")


def run_session(folder, binary, shim, seconds, cuts, seed, lie, report, verbose=False, load=MIXED, keep=None):
    """One trace and its cuts; (faults, acknowledged at the cuts, records, unsynced at the cuts)."""
    chance = random.Random(seed)
    session, faults, acknowledged, unsynced = Session(folder, binary, shim, seconds, seed, load), [], 0, 0
    try:
        now, records = session.run(not lie)
        answers, at = Answers(records), 0
        if load.churn:
            total, again, most = reuse(records)
            told = f"{total / 1e6:.0f} MB written to the database, {again} segments used again, up to {most / 1e6:.1f} MB in a sync"
            report(told, flush=True)
            assert total >= CHURN_BYTES and again, "too little was written for segments to be used again"
        for number, moment in enumerate(moments(records, cuts, chance, load)):
            while at <= moment:
                now.follow(records[at])
                at += 1
            unsynced += now.unsynced()
            image = folder / "image"
            how = now.cut(image, chance)
            kept = folder / "kept"
            if keep:
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(image, kept)
            known, wrong = check_image(session, image, answers, moment)
            acknowledged += known
            if verbose:
                report(f"cut {number} after record {moment} ({how}): {known} acknowledged, {now.unsynced()} not safe", flush=True)
            for text in wrong:
                report(f"FAULT seed {seed}, cut {number} after record {moment} ({how}): {text}", flush=True)
            faults += wrong
            if wrong and keep:
                keep_fault(keep / f"{seed}-{number}", session, kept, moment)
    finally:
        session.server.end()
    return faults, acknowledged, len(records), unsynced


def run_cuts(
    binary: Path, folder: Path, rounds: int, seed: int, seconds=2.0, cuts=50, lie=False, report=print, verbose=False, load=MIXED, keep=None
):
    """All cuts, over as many traces as are needed; (faults, figures)."""
    shim, chance = build_shim(folder), random.Random(seed)
    faults, acknowledged, records, unsynced, traces = [], 0, 0, 0, 0
    left = rounds
    while left > 0:
        some = min(cuts, left)
        place = folder / f"trace-{traces}"
        found = run_session(place, binary, shim, seconds, some, chance.getrandbits(32), lie, report, verbose, load, keep)
        shutil.rmtree(place)
        faults += found[0]
        acknowledged, records, unsynced = acknowledged + found[1], records + found[2], unsynced + found[3]
        left, traces = left - some, traces + 1
        report(f"{rounds - left} cuts, {len(faults)} faults", flush=True)
    figures = (
        f"seed {seed}: {rounds} cuts in {traces} traces of {records} records, {acknowledged / rounds:.0f} writes acknowledged "
        f"and {unsynced / rounds:.1f} changes not safe at a cut on average, {len(faults)} faults"
    )
    return faults, figures


def command(server, shim: dict, *words: str, stdin: str):
    """A subcommand of the server's program: (status, what it printed)."""
    line = ["env", *(f"{key}={value}" for key, value in shim.items()), str(server.binary), *words, "--data", str(server.store)]
    environment = proc.environment(server.data)
    done = subprocess.run(line, input=stdin, capture_output=True, text=True, env=environment, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def run_init(binary: Path, folder: Path, rounds: int, seed: int, lie=False, report=print):
    """Cuts while users are added to nothing; (faults, figures)."""
    chance, faults, shim = random.Random(seed), [], build_shim(folder)
    server, copy = rig.Rig(folder, binary), folder / "begin"
    users = [(f"user{at}", f"{chance.getrandbits(96):024x}") for at in range(2)]
    add = [("user", "add", name, "--email", f"{name}@example.test", "--password-stdin") for name, _ in users]
    try:
        shutil.copytree(server.data, copy)
        now, trace, ends = disk.Disk(server.data, copy, not lie), folder / "trace", []
        traced = {"LD_PRELOAD": shim, "DISK_DIR": server.data, "DISK_TRACE": trace}
        for words, (_, password) in zip(add, users):
            status, said = command(server, traced, *words, stdin=password + "\n")
            assert status == 0, said
            ends.append(len(disk.read_trace(trace)))
        records, at = disk.read_trace(trace), 0
        for number, moment in enumerate(sorted(chance.randrange(len(records)) for _ in range(rounds))):
            while at <= moment:
                now.follow(records[at])
                at += 1
            shutil.rmtree(server.data)
            how = now.cut(server.data, chance)
            for text in check_init(server, users, add, [end <= moment for end in ends]):
                faults.append(text)
                report(f"FAULT seed {seed}, cut {number} after record {moment} ({how}): {text}", flush=True)
    finally:
        server.end()
    return faults, f"seed {seed}: {rounds} cuts in the {len(records)} records of two `user add`, {len(faults)} faults"


def check_init(server, users, add, ended):
    """What is wrong with a data directory that was cut off in its making."""
    for (name, password), words, done in zip(users, add, ended):
        if not done:
            command(server, {}, *words, stdin=password + "\n")
        made = command(server, {}, "app-password", "add", name, "--label", "cut", "--password-stdin", stdin=password + "\n")
        if made[0] != 0:
            return [f"{name}, {'added' if done else 'not added'} before, does not open: {made[1][-300:]}"]
    try:
        server.start()
    except ServerFailed as error:
        return [f"it does not start: {error}"]
    server.kill()
    return []


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, default=rig.ROOT / "target/release/sealdav")
    parser.add_argument("--rounds", type=int, default=500, help="power cuts")
    parser.add_argument("--cuts", type=int, default=50, help="cuts of one trace")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long the clients of a trace write")
    parser.add_argument("--seed", type=int, default=None, help="repeats the choices, though not the timing")
    parser.add_argument("--lie", action="store_true", help="no sync makes anything safe; losses must be found")
    parser.add_argument("--keep", type=Path, help="a directory for the disks and traces of faults")
    parser.add_argument("--verbose", action="store_true", help="say how each cut was made")
    parser.add_argument("--churn", action="store_true", help="large bodies written over each other, so that segments are used again")
    parser.add_argument("--init", action="store_true", help="cuts while the first users are added")
    options = parser.parse_args()
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    with tempfile.TemporaryDirectory(prefix="sealdav-p-") as folder:
        if options.init:
            faults, figures = run_init(options.server.resolve(), Path(folder), options.rounds, seed, options.lie)
            print(figures)
            return 1 if faults else 0
        faults, figures = run_cuts(
            options.server.resolve(), Path(folder), options.rounds, seed, options.seconds, options.cuts, options.lie,
            verbose=options.verbose, load=CHURN if options.churn else MIXED, keep=options.keep,
        )
    print(figures)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
