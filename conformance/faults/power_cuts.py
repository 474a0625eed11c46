#!/usr/bin/env python3
"""Power cuts: whatever was not synced may be lost, torn or out of order; nothing acknowledged may.

    power_cuts.py [--server target/release/sealdav] [--rounds 500] [--seconds 2] [--seed N] [--lie]

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

--lie shows that the check can fail: the disk then treats every sync as if it had not been, and the
check must find losses. Prints its seed and figures. Exit status: 0 when nothing was lost, else 1.
"""

import argparse
import collections
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
USERS, WRITERS, OBJECTS = 2, 3, 8


def build_shim(folder: Path) -> Path:
    """Compile disk.so; raises CalledProcessError when it does not compile."""
    shim = folder / "disk.so"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "-o", str(shim), str(SHIM_SOURCE), "-ldl"], check=True)
    return shim


class Session:
    """A server with users, and what it and its clients did while it was traced."""

    def __init__(self, folder: Path, binary: Path, shim: Path, seconds: float, seed: int):
        folder.mkdir()
        self.folder, self.seconds, self.chance = folder, seconds, random.Random(seed)
        self.server = rig.Rig(folder, binary)
        self.shim, self.trace = shim, folder / "trace"
        self.writers, self.history = [], []

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
        server.shim = {"LD_PRELOAD": str(self.shim), "DISK_DIR": str(server.store), "DISK_TRACE": str(self.trace)}
        for number in range(USERS * WRITERS):
            self.writers.append(oracle.Writer(self.users[number % USERS], number, {}, None, self.chance.getrandbits(64), OBJECTS))
        replicas = {user: [oracle.Replica(user, path) for path in user.calendars] for user in self.users}
        for _ in range(2):
            server.start()
            self.write_for_a_while(replicas)
            server.stop()
        server.shim = {}
        return start, disk.read_trace(self.trace)

    def write_for_a_while(self, replicas) -> None:
        """One opening of the server: its clients write and stop."""
        stop, threads = threading.Event(), []
        for at, old in enumerate(self.writers):
            new = oracle.Writer(old.user, old.number, old.now, stop, self.chance.getrandbits(64), OBJECTS)
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
    except (OSError, oracle.Refused) as error:
        time.sleep(0.2)
        ended = "lives" if server.alive() else f"ended with {server.process.returncode}: {server.log_tail()[-400:]}"
        faults.append(f"it does not answer: {error!r}; the server {ended}")
    finally:
        server.kill()
    return acknowledged, faults


def moments(records, count: int, chance):
    """Where to cut: just after an answer, during a sync, and anywhere."""
    answers = [record.at for record in records if record.what == disk.ANSWER]
    syncs = [record.at for record in records if record.what == disk.SYNC]
    return sorted(chance.choice((answers, syncs, range(len(records)))[at % 3]) for at in range(count))


def run_session(folder, binary, shim, seconds, cuts, seed, lie, report, verbose=False):
    """One trace and its cuts; (faults, acknowledged at the cuts, records, unsynced at the cuts)."""
    chance = random.Random(seed)
    session, faults, acknowledged, unsynced = Session(folder, binary, shim, seconds, seed), [], 0, 0
    try:
        now, records = session.run(not lie)
        answers, at = Answers(records), 0
        for number, moment in enumerate(moments(records, cuts, chance)):
            while at <= moment:
                now.follow(records[at])
                at += 1
            unsynced += now.unsynced()
            image = folder / "image"
            how = now.cut(image, chance)
            known, wrong = check_image(session, image, answers, moment)
            acknowledged += known
            if verbose:
                report(f"cut {number} after record {moment} ({how}): {known} acknowledged, {now.unsynced()} not safe", flush=True)
            for text in wrong:
                report(f"FAULT seed {seed}, cut {number} after record {moment} ({how}): {text}", flush=True)
            faults += wrong
    finally:
        session.server.end()
    return faults, acknowledged, len(records), unsynced


def run_cuts(binary: Path, folder: Path, rounds: int, seed: int, seconds=2.0, cuts=50, lie=False, report=print, verbose=False):
    """All cuts, over as many traces as are needed; (faults, figures)."""
    shim, chance = build_shim(folder), random.Random(seed)
    faults, acknowledged, records, unsynced, traces = [], 0, 0, 0, 0
    left = rounds
    while left > 0:
        some = min(cuts, left)
        found = run_session(folder / f"trace-{traces}", binary, shim, seconds, some, chance.getrandbits(32), lie, report, verbose)
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
    parser.add_argument("--verbose", action="store_true", help="say how each cut was made")
    parser.add_argument("--init", action="store_true", help="cuts while the first users are added")
    options = parser.parse_args()
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    with tempfile.TemporaryDirectory(prefix="sealdav-p-") as folder:
        if options.init:
            faults, figures = run_init(options.server.resolve(), Path(folder), options.rounds, seed, options.lie)
            print(figures)
            return 1 if faults else 0
        faults, figures = run_cuts(
            options.server.resolve(), Path(folder), options.rounds, seed, options.seconds, options.cuts, options.lie, verbose=options.verbose
        )
    print(figures)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
