#!/usr/bin/env python3
"""kill -9 at random moments: every acknowledged write must survive.

    kill_rounds.py --own target/release/sealdav --rounds 200 [--seed N]
    kill_rounds.py --server-cmd 'target/release/sealdav serve --config t.toml' \\
        --url http://127.0.0.1:8080/dav/calendars/anna/calendar/ --user anna --password ...

With --own it makes a data directory, --users accounts and their app passwords itself, over plain
HTTP; else the collection and the account must exist, and the server must listen within
--start-seconds.

Each round lets several clients of each user write at once (PUT of new objects, PUT over with
If-Match, DELETE, MOVE, COPY, PROPPATCH, MKCALENDAR, PROPPATCH and DELETE of calendars, in two shared
calendars and in their own), kills the server (its whole process group) with SIGKILL at a random
moment, starts it again on the same data and checks with oracle.py:

- everything is as the last acknowledged request left it: there with the ETag that was answered and
  the very bytes that were sent (GET), with the property that was set, or gone. The one request of
  each client that was under way at the kill may have happened as a whole or not at all;
- no sync-token goes back behind any that was answered before a kill, and none is refused;
- replicas that synchronised all the time, those that slept through the round and those that
  slept through many, all come to exactly what the listing says by one synchronisation.

--lose shows that the check can fail: after each kill the data directory is put back as it was when
the round began, as a disk whose syncs do nothing may leave it. It must report losses.

Names of objects and calendars tell their client; they are left there. Only Python's standard
library. Exit status: 0 when nothing was lost, 1 when something was, 2 when it could not be run.
"""

import argparse
import collections
import http.client
import pathlib
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree

import oracle
import rig


class Unrunnable(Exception):
    """The test could not be run, which says nothing about the server's promises."""


class Site:
    """A server that is started and killed, and the users on it."""

    def __init__(self, arguments, folder):
        self.arguments, self.server, self.own = arguments, None, None
        self.slowest, self.starts = 0.0, 0.0
        if arguments.own:
            self.own = rig.Rig(pathlib.Path(folder), arguments.own)
            accounts = [self.own.add_account(f"user{at}") for at in range(arguments.users)]
            self.command = self.own.command()
            self.log = arguments.server_log or str(self.own.log)
            homes = [(one, one.home, one.calendar, "127.0.0.1", self.own.port) for one in accounts]
            names = [(one.name, one.password) for one in accounts]
        else:
            self.command, self.log = shlex.split(arguments.server_cmd), arguments.server_log
            url = urllib.parse.urlsplit(arguments.url)
            home = url.path.rstrip("/").rpartition("/")[0] + "/"
            homes, names = [(None, home, url.path, url.hostname, url.port)], [(arguments.user, arguments.password)]
        self.users = [
            oracle.User(name, password, host, port, home, (calendar, f"{home}second/"), arguments.timeout)
            for (name, password), (_, home, calendar, host, port) in zip(names, homes)
        ]

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with open(self.log or "/dev/null", "ab") as log:
            self.server = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True)
        began = time.monotonic()
        while time.monotonic() - began < self.arguments.start_seconds:
            if self.server.poll() is not None:
                raise Unrunnable(f"the server ended with {self.server.returncode} instead of listening")
            try:
                status, _, _ = oracle.Client(self.users[0]).request("OPTIONS", self.users[0].home)
                if status in (401, 403):
                    raise Unrunnable(f"the server answered OPTIONS with {status}: wrong user or password?")
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.starts += time.monotonic() - began
                return
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)
        raise Unrunnable("the server did not listen in time")

    def kill(self):
        """SIGKILL for the server's own process group; its status if it had ended by itself."""
        if self.server is None:
            return None
        ended, self.server = self.server.poll(), rig.kill_group(self.server)
        return ended

    def prepare(self) -> None:
        """Make the second calendars."""
        for user in self.users:
            status, _, body = oracle.Client(user).request("MKCALENDAR", user.calendars[1])
            if status not in (201, 405):
                raise Unrunnable(f"MKCALENDAR was answered with {status}: {body[:200]!r}")

    def end(self) -> None:
        """Kill what runs, delete what was made."""
        self.kill()
        if self.own:
            self.own.end()


class Rounds:
    """What goes on from round to round."""

    def __init__(self, arguments, site: Site):
        self.arguments, self.site = arguments, site
        self.chance = random.Random(arguments.seed)
        self.settled = {number: {} for number in range(arguments.clients * len(site.users))}
        self.writers, self.idle = [], 0
        self.awake = {user: [oracle.Replica(user, path) for path in user.calendars] for user in site.users}
        self.daily = [oracle.Replica(user, path) for user in site.users for path in user.calendars]
        self.lazy = [oracle.Replica(user, path) for user in site.users for path in user.calendars]
        self.total, self.faults, self.synced, self.in_doubt = collections.Counter(), [], 0, 0

    def check(self) -> list[str]:
        """Compare the server, just started, with all that was acknowledged."""
        faults = []
        for user in self.site.users:
            client = oracle.Client(user)
            found = oracle.Found(client)
            for writer in (one for one in self.writers if one.user is user):
                settled, doubt, touched = oracle.fold(writer.began, writer.steps)
                self.in_doubt += bool(doubt)
                now, wrong = oracle.check_writer(found, writer.number, settled, doubt, touched, self.chance)
                self.settled[writer.number] = now
                faults += wrong
            lazy = [one for one in self.lazy if one.user is user and self.chance.random() < 0.15]
            daily = [one for one in self.daily if one.user is user]
            for replica in [*self.awake[user], *daily, *lazy]:
                faults += replica.check(client, found)
                self.synced += 1
            client.close()
        self.writers = []
        return faults

    def load_and_kill(self) -> list[str]:
        """Let the clients write, and kill the server under them."""
        stop, users = threading.Event(), self.site.users
        self.writers = [
            oracle.Writer(users[at % len(users)], at, self.settled[at], stop, self.chance.getrandbits(64), self.arguments.objects)
            for at in self.settled
        ]
        watchers = [oracle.Watcher(user, self.awake[user], stop) for user in users]
        ended = None
        try:
            for one in [*self.writers, *watchers]:
                one.start()
            time.sleep(self.chance.uniform(self.arguments.least_seconds, self.arguments.most_seconds))
        finally:
            ended = self.site.kill()
            stop.set()
        faults = []
        for one in [*self.writers, *watchers]:
            one.join()
            if one.trouble:
                raise Unrunnable(f"a client broke: {one.trouble}")
            faults += [f"refused {text}" for text in one.refused]
        faults += [f"answered with 5xx: {writer.failed}" for writer in self.writers if writer.failed]
        if ended is not None:
            faults.append(f"the server ended by itself with {ended}")
        return faults

    def run(self, report) -> None:
        """All rounds."""
        site = self.site
        site.start()
        site.prepare()
        for number in range(1, self.arguments.rounds + 1):
            kept = self.keep_database() if self.arguments.lose else None
            found = self.load_and_kill()
            acknowledged = sum((writer.acknowledged() for writer in self.writers), collections.Counter())
            self.total += acknowledged
            self.idle += not acknowledged
            if kept is not None:
                self.lose(kept)
            site.start()
            found += self.check()
            for text in found:
                report(f"FAULT round {number}: {text}", flush=True)
            if found and self.arguments.server_log:
                raise Unrunnable(f"stopped at the first fault; {self.arguments.server_log} has what the server said")
            self.faults += [f"round {number}: {text}" for text in found]
            if number % self.arguments.say == 0:
                report(f"round {number}: {self.total.total()} acknowledged, {len(self.faults)} faults", flush=True)
        site.kill()
        if 2 * self.idle > self.arguments.rounds:
            raise Unrunnable(f"in {self.idle} rounds no write was acknowledged")

    def keep_database(self) -> pathlib.Path:
        """A copy of the data at the beginning of the round."""
        copy = self.site.own.store.with_name("kept")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.site.own.store, copy, ignore=shutil.ignore_patterns("*.sock"))
        return copy

    def lose(self, kept: pathlib.Path) -> None:
        """What a power cut does to a server that never syncs: the disk is as it was before."""
        if self.site.own.store.exists():
            shutil.rmtree(self.site.own.store)
        kept.rename(self.site.own.store)

    def summary(self) -> str:
        """The figures."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.total.items()))
        return (
            f"{self.arguments.rounds} kills, {self.total.total()} writes acknowledged ({kinds}), {self.in_doubt} under way at a kill, "
            f"{self.synced} synchronisations compared, up again within {self.site.slowest:.2f} s, {len(self.faults)} faults"
        )


def run_rounds(arguments, folder, report=print) -> Rounds:
    """All rounds. Raises Unrunnable."""
    site = Site(arguments, folder)
    try:
        rounds = Rounds(arguments, site)
        rounds.run(report)
        return rounds
    finally:
        site.end()


def parse(words=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--own", type=pathlib.Path, help="the server's program; everything else is made for it")
    parser.add_argument("--server-cmd", help="starts the server in the foreground")
    parser.add_argument("--url", help="the collection, with a slash at the end")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--users", type=int, default=3, help="accounts, with --own")
    parser.add_argument("--clients", type=int, default=4, help="writers of each user")
    parser.add_argument("--objects", type=int, default=10, help="names of each writer in each calendar")
    parser.add_argument("--least-seconds", type=float, default=0.1, help="earliest kill after the clients began")
    parser.add_argument("--most-seconds", type=float, default=0.5, help="latest kill")
    parser.add_argument("--start-seconds", type=float, default=30.0)
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds for one answer")
    parser.add_argument("--lose", action="store_true", help="lose each round as a disk without syncs may (with --own)")
    parser.add_argument("--say", type=int, default=10, help="rounds between two lines")
    parser.add_argument("--server-log", help="file for what the server prints")
    parser.add_argument("--seed", type=int, default=None, help="repeats the choices, though not the timing")
    arguments = parser.parse_args(words)
    if not arguments.own and not all((arguments.server_cmd, arguments.url, arguments.user, arguments.password)):
        parser.error("either --own, or --server-cmd, --url, --user and --password")
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().getrandbits(32)
    return arguments


def main():
    arguments = parse()
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="sealdav-k-") as folder:
        try:
            rounds = run_rounds(arguments, folder)
        except (Unrunnable, oracle.Refused, OSError, http.client.HTTPException, ElementTree.ParseError) as error:
            print(f"cannot run: {error!r}")
            return 2
    print(rounds.summary())
    return 1 if rounds.faults else 0


if __name__ == "__main__":
    sys.exit(main())
