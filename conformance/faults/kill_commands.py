#!/usr/bin/env python3
"""kill -9 of compact, backup and restore: whatever is cut off, nothing is lost or half done.

    kill_commands.py [--server target/release/sealdav] [--rounds 20] [--seconds 60] [--seed N] [--only compact|backup|restore|user]

Clients of oracle.py write to a server; between their turns a command is killed with SIGKILL at a
random moment of the time that it takes when it is not.

- compact: the server then opens, and holds everything that was acknowledged. Sometimes another
  compaction, also killed or not, comes first.
- backup, of a running server whose clients go on writing (the server is killed, or the command), and
  of one that is stopped (the command is killed): the server opens with everything; each backup that
  is listed is whole, as `backup verify` and a restore of the newest say; it holds what was
  acknowledged before it was begun; when nothing was finished nothing is listed; `verify` of a copy
  with one byte changed, or one pack missing, names the file; and the next backup succeeds.
- restore to a new directory: the server starts on it only if all of it is there; it can be removed
  and restored again.
- restore of one account (user): the other account is as it was, this one is as it was or as the
  backup has it, as a whole; and it can be done again.

--lose shows that the check can fail: after each kill a directory is put back as a careless program
would leave it (a manifest of packs that are not there, a restore whose mark is gone, a database
without its end); faults must be found. Prints its seed and figures. Exit status: 0 when there was no
fault, else 1.
"""

import argparse
import collections
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import oracle
import rig
from harness import proc
from harness.proc import CommandFailed
from harness.servers import ServerFailed

KINDS = ("compact", "backup", "restore", "user")
# Objects of each user that nobody touches, writers of each, and their names in each calendar.
LASTING, WRITERS, OBJECTS = 150, 2, 6
# Seconds for which clients write between two kills.
WRITING = 0.1
# Seconds until a backup that goes on in the server must have ended.
PATIENCE = 30.0
# Seconds without a trace of a backup after which none is under way.
QUIET = 3.0


class Broken(Exception):
    """Something that a kill must not lead to."""


class Place:
    """A server on a data directory, its users, and what they were told."""

    def __init__(self, folder: Path, binary: Path, chance):
        folder.mkdir()
        self.folder, self.chance = folder, chance
        self.server = rig.Rig(folder, binary)
        accounts = [self.server.add_account(f"user{at}") for at in range(2)]
        self.users = [
            oracle.User(one.name, one.password, "127.0.0.1", self.server.port, one.home, (one.calendar, f"{one.home}second/"))
            for one in accounts
        ]
        self.settled = {number: {} for number in range(len(self.users) * WRITERS)}
        self.lasting = {}
        self.marks = 0
        self.server.start()
        for user, account in zip(self.users, accounts):
            oracle.Client(user).request("MKCALENDAR", user.calendars[1])
            rig.fill(self.server, account, account.calendar, LASTING, 16)
        for user in self.users:
            found = oracle.Found(oracle.Client(user))
            self.lasting[user.name] = found.etags(user.calendars[0])

    def user_of(self, number: int):
        """The user of a writer."""
        return self.users[number % len(self.users)]

    def begin_writing(self):
        """Let all clients write until `end_writing`."""
        self.stop = threading.Event()
        self.writers = [
            oracle.Writer(self.user_of(number), number, settled, self.stop, self.chance.getrandbits(64), OBJECTS)
            for number, settled in self.settled.items()
        ]
        for one in self.writers:
            one.start()

    def end_writing(self) -> None:
        """Stop the clients; what was under way stays in doubt until `check`."""
        self.stop.set()
        for one in self.writers:
            one.join()
            if one.trouble or one.refused or one.failed:
                raise Broken(f"a client was refused or broke: {one.trouble} {one.refused[:2]} {one.failed}")

    def write_a_while(self) -> None:
        """A turn of the clients on a running server."""
        self.begin_writing()
        time.sleep(WRITING)
        self.end_writing()
        self.check()

    def mark(self, user) -> None:
        """Put an object that says how far things were."""
        self.marks += 1
        path = f"{user.calendars[0]}mark-{self.marks}.ics"
        status, headers, _ = oracle.Client(user).request("PUT", path, rig.event(f"mark{self.marks}"), oracle.CALENDAR)
        if status != 201:
            raise Broken(f"PUT {path} was answered with {status}")
        self.lasting[user.name][path] = headers["ETag"]

    def check(self) -> None:
        """Everything that was acknowledged is on the running server."""
        faults = []
        for user in self.users:
            client = oracle.Client(user)
            found = oracle.Found(client)
            faults += self.check_lasting(user, found, self.lasting[user.name])
            for writer in (one for one in getattr(self, "writers", []) if one.user is user):
                settled, doubt, touched = oracle.fold(writer.began, writer.steps)
                now, wrong = oracle.check_writer(found, writer.number, settled, doubt, touched, self.chance)
                self.settled[writer.number] = now
                faults += wrong
            client.close()
        self.writers = []
        if faults:
            raise Broken(f"{len(faults)} faults, first: {faults[0]}")

    def check_lasting(self, user, found, wanted: dict) -> list[str]:
        """What is wrong with the objects that nobody touches; some bodies are read."""
        etags = found.etags(user.calendars[0])
        faults = [f"lost: {path}" for path, etag in wanted.items() if etags.get(path) != etag]
        for path in self.chance.sample(sorted(wanted), 5):
            found.read(path)
        return faults + found.faults

    def command(self, *words: str) -> subprocess.Popen:
        """Begin a subcommand."""
        line = [str(self.server.binary), *words]
        return subprocess.Popen(
            line, env=proc.environment(self.server.data), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )

    def finish(self, *words: str):
        """Run a subcommand to its end: (status, what it said, seconds)."""
        began = time.monotonic()
        process = self.command(*words)
        said = process.communicate(timeout=60)[0].decode("utf-8", "replace")
        return process.returncode, said, time.monotonic() - began

    def kill(self, words, most: float, meanwhile=None, near=None) -> bool:
        """Begin a subcommand and kill it within `most` seconds, or kill what `meanwhile` says; whether it
        had ended well by itself. Sometimes the moment is just after `near` holds for the first time."""
        process = self.command(*words)
        until = time.monotonic() + self.chance.uniform(0, most)
        if near and self.chance.random() < 0.4:
            until = time.monotonic() + 4 * most + 1
            while not near() and time.monotonic() < until and process.poll() is None:
                pass
            until = time.monotonic() + self.chance.choice((0, 0, 0.001, 0.005))
        try:
            process.wait(max(0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            if meanwhile:
                meanwhile()
        rig.kill_group(process)
        said = process.stdout.read().decode("utf-8", "replace")
        process.stdout.close()
        if process.returncode not in (0, -signal.SIGKILL) and not meanwhile:
            raise Broken(f"{words[0]} ended with {process.returncode}: {said[-300:]}")
        return process.returncode == 0

    def swapping(self) -> bool:
        """Whether a new database is taking the place of the old one."""
        return any((self.server.store / "db" / name).exists() for name in ("rows.next", "rows.old"))

    def on_data(self, *words: str):
        """The words of a subcommand on the server's data."""
        return (*words, "--data", str(self.server.store))


class Compact:
    """Kills of `sealdav compact`."""

    def __init__(self, place: Place, lose: bool):
        self.place, self.lose = place, lose
        place.write_a_while()
        place.server.stop()
        status, said, self.takes = place.finish(*place.on_data("compact"))
        if status != 0:
            raise Broken(f"compact ended with {status}: {said}")
        place.server.start()

    def round(self, figures) -> None:
        """One kill, or several."""
        place = self.place
        place.write_a_while()
        place.server.kill() if place.chance.random() < 0.5 else place.server.stop()
        while True:
            done = place.kill(place.on_data("compact"), 1.1 * self.takes, near=place.swapping)
            figures["ended by itself" if done else "killed"] += 1
            left = sorted(found.name for found in (place.server.store / "db").glob("rows*"))
            figures["left behind: " + " ".join(left)] += 1
            if place.chance.random() < 0.6:
                break
        if self.lose:
            database = max((place.server.store / "db").glob("rows*/db"), key=lambda found: found.stat().st_size)
            with database.open("r+b") as file:
                file.truncate(database.stat().st_size // 3)
        if place.chance.random() < 0.2:
            status, said, _ = place.finish(*place.on_data("compact"))
            if status != 0:
                raise Broken(f"a compaction after a killed one ended with {status}: {said[-300:]}")
        place.server.start()
        place.check()


class Backup:
    """Kills of a server that backs up, and of the command that asks for it."""

    def __init__(self, place: Place, lose: bool):
        self.place, self.lose = place, lose
        self.to = place.folder / "backups"
        self.to.mkdir()
        self.known = {user.name: dict(place.lasting[user.name]) for user in place.users}
        status, said, self.takes = place.finish(*self.words())
        if status != 0:
            raise Broken(f"backup ended with {status}: {said}")

    def words(self):
        """The command."""
        return self.place.on_data("backup", "--to", str(self.to))

    def listed(self) -> set[str]:
        """Backups whose manifest has its name."""
        return {found.name for found in (self.to / "backups").iterdir() if not found.name.endswith(".new")}

    def ending(self, before) -> bool:
        """Whether packs have their names, or the manifest is there."""
        packs, backups = self.to / "packs", self.to / "backups"
        return packs.exists() and (any(packs.iterdir()) and not before or len(list(backups.iterdir())) > len(before))

    def round(self, figures) -> None:
        """One kill."""
        place = self.place
        place.mark(place.chance.choice(place.users))
        # After the mark: a backup that the last round left to the server and that ended before it has none.
        before = self.listed()
        way = place.chance.choice(("server", "server", "command", "stopped"))
        known = {name: dict(objects) for name, objects in place.lasting.items()}
        if place.chance.random() < 0.5:
            # Then every pack has to be written.
            shutil.rmtree(self.to)
            self.to.mkdir()
            (self.to / "backups").mkdir()
            before = set()
        if way == "stopped":
            place.write_a_while()
            place.server.stop()
            done = place.kill(self.words(), 1.2 * self.takes, near=lambda: self.ending(before))
            place.server.start()
        else:
            place.begin_writing()
            time.sleep(0.03)
            meanwhile = place.server.kill if way == "server" else None
            done = place.kill(self.words(), 1.5 * self.takes, meanwhile, lambda: self.ending(before))
            if way == "server" and place.server.process is None:
                place.end_writing()
                place.server.start()
            else:
                self.await_end(before)
                place.end_writing()
        place.check()
        figures[f"{way}: {'ended by itself' if done else 'killed'}"] += 1
        self.check_destination(before, known, done, figures)

    def await_end(self, before) -> None:
        """A command that was killed leaves its backup to the server, which ends it."""
        began = idle = time.monotonic()
        while not self.listed() - before:
            now = time.monotonic()
            if any((self.to / "tmp").glob("*")):
                idle = now
            # Nothing for that long: it was killed before it had asked. A busy machine takes its time to begin.
            if now - began > PATIENCE or now - idle > QUIET:
                return
            time.sleep(0.02)

    def check_destination(self, before, known, done, figures) -> None:
        """What lies there is what it says to be."""
        place, new = self.place, self.listed() - before
        if done and not new:
            raise Broken("a backup that succeeded is not listed")
        figures["new backups"] += len(new)
        figures["cut off"] += not new
        if self.lose:
            self.forge()
        if self.listed():
            status, said, _ = place.finish("backup", "verify", str(self.to), "--data", str(place.server.store))
            if status != 0:
                raise Broken(f"verify after a kill: {said[-400:]}")
            self.check_truth()
        else:
            status, said, _ = place.finish("backup", "verify", str(self.to), "--data", str(place.server.store))
            if status == 0:
                raise Broken(f"verify found a backup where none was finished: {said[-300:]}")
        if new:
            self.known = known
        if self.listed() and place.chance.random() < 0.4:
            self.check_restored(figures)
        status, said, _ = place.finish(*self.words())
        if status != 0 or not self.listed() - before - new:
            raise Broken(f"the next backup ended with {status}: {said[-300:]}")
        self.known = {name: dict(objects) for name, objects in place.lasting.items()}

    def forge(self) -> None:
        """What a program would leave that writes the manifest first."""
        packs = list((self.to / "packs").glob("*"))
        if packs:
            self.place.chance.choice(packs).unlink()

    def check_truth(self) -> None:
        """`verify` must see a changed byte and a missing pack, and name it."""
        place = self.place
        pack = place.chance.choice(sorted((self.to / "packs").glob("*")))
        whole = pack.read_bytes()
        if place.chance.random() < 0.5:
            pack.unlink()
        else:
            at = place.chance.randrange(len(whole))
            pack.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << place.chance.randrange(8))]) + whole[at + 1 :])
        status, said, _ = place.finish("backup", "verify", str(self.to), "--data", str(place.server.store))
        pack.write_bytes(whole)
        # A pack of no backup, left by one that was cut off, is not looked at.
        named = status != 0 and pack.name in said
        if not named and self.names(pack.name):
            raise Broken(f"verify did not name the damaged pack {pack.name}: {status} {said[-300:]}")

    def names(self, pack: str) -> bool:
        """Whether a finished backup has that pack."""
        backups = self.to / "backups"
        return any(f"pack {pack} " in (backups / name).read_text() for name in self.listed())

    def check_restored(self, figures) -> None:
        """The newest backup holds what had been acknowledged before it."""
        place, to = self.place, self.place.folder / "restored"
        status, said, _ = place.finish(*place.on_data("restore", str(self.to), "--to", str(to)))
        if status != 0:
            raise Broken(f"restore of a listed backup ended with {status}: {said[-300:]}")
        check_copy(place, to, self.known)
        figures["restored"] += 1
        shutil.rmtree(to)


def check_copy(place: Place, data: Path, known: dict) -> bool:
    """Start the server on another data directory and look for `known`; False when it does not start."""
    copy = rig.Rig(place.folder, place.server.binary)
    shutil.rmtree(copy.store, ignore_errors=True)
    data.rename(copy.store)
    try:
        try:
            copy.start()
        except ServerFailed:
            tail = copy.log_tail().strip().splitlines()[-1:]
            if not tail or "sealdav: " not in tail[0]:
                raise Broken(f"it does not start and does not say why: {tail}") from None
            return False
        for user in place.users:
            there = oracle.User(user.name, user.password, "127.0.0.1", copy.port, user.home, user.calendars)
            found = oracle.Found(oracle.Client(there))
            faults = place.check_lasting(there, found, known[user.name])
            if faults:
                raise Broken(f"a restored server has {len(faults)} faults, first: {faults[0]}")
        return True
    finally:
        copy.kill()
        copy.store.rename(data)
        copy.remove()


class Restore:
    """Kills of `sealdav restore --to`."""

    def __init__(self, place: Place, lose: bool):
        self.place, self.lose = place, lose
        self.backup = Backup(place, False)
        self.to = place.folder / "new"
        status, said, self.takes = place.finish(*self.words())
        if status != 0:
            raise Broken(f"restore ended with {status}: {said}")
        shutil.rmtree(self.to)

    def words(self):
        """The command."""
        return self.place.on_data("restore", str(self.backup.to), "--to", str(self.to))

    def ending(self) -> bool:
        """Whether the rows are in place, and little is left to do."""
        return (self.to / "audit.heads").exists()

    def round(self, figures) -> None:
        """One kill."""
        place = self.place
        done = place.kill(self.words(), 1.1 * self.takes, near=self.ending)
        figures["ended by itself" if done else "killed"] += 1
        names = {found.name for found in self.to.iterdir()} if self.to.exists() else set()
        if self.lose and "restoring" in names:
            (self.to / "restoring").unlink()
            names.discard("restoring")
        if "db" in names or "keys" in names:
            starts = check_copy(place, self.to, self.backup.known)
            figures["starts" if starts else "does not start"] += 1
            if done and not starts:
                raise Broken("a restore that succeeded does not start")
            if starts and not done and "restoring" in names:
                raise Broken("an unfinished restore starts")
            if not starts and "restoring" not in names:
                raise Broken(f"a restore without its mark does not start: {sorted(names)}")
        else:
            figures["nothing there yet"] += 1
        if names:
            status, said, _ = place.finish(*self.words())
            if status == 0 or "not empty" not in said:
                raise Broken(f"a restore wrote over another one: {status} {said[-300:]}")
        if place.chance.random() < 0.3:
            shutil.rmtree(self.to, ignore_errors=True)
            status, said, _ = place.finish(*self.words())
            if status != 0:
                raise Broken(f"a second restore ended with {status}: {said[-300:]}")
            if not check_copy(place, self.to, self.backup.known):
                raise Broken("a second restore does not start")
        shutil.rmtree(self.to, ignore_errors=True)


class User:
    """Kills of `sealdav restore --user`."""

    def __init__(self, place: Place, lose: bool):
        self.place, self.lose = place, lose
        self.backup = Backup(place, False)
        self.user, self.other = place.users
        self.then = self.state(self.user)
        self.takes = 0.0
        place.write_a_while()
        place.server.stop()
        status, said, self.takes = place.finish(*self.words())
        if status != 0:
            raise Broken(f"restore --user ended with {status}: {said}")
        place.server.start()
        self.forget(self.then)

    def words(self):
        """The command."""
        return self.place.on_data("restore", str(self.backup.to), "--user", self.user.name)

    def state(self, user) -> dict:
        """All that a user has: names, ETags and notes."""
        found = oracle.Found(oracle.Client(user))
        return {path: (getattr(one, "etag", None), one.note) for path, one in found.states.items()}

    def forget(self, state: dict) -> None:
        """The account's clients go on from what it has now, which `state` says."""
        found = oracle.Found(oracle.Client(self.user))
        for path in found.states:
            if not path.endswith("/"):
                found.read(path)
        for number in self.place.settled:
            if self.place.user_of(number) is self.user:
                mine = {path: one for path, one in found.states.items() if oracle.number_of(path) == number}
                self.place.settled[number] = mine
        wanted = self.place.lasting[self.user.name]
        self.place.lasting[self.user.name] = {path: etag for path, etag in wanted.items() if path in state}

    def round(self, figures) -> None:
        """One kill."""
        place = self.place
        place.write_a_while()
        place.mark(self.user)
        place.mark(self.other)
        before = self.state(self.user)
        place.server.stop()
        done = place.kill(self.words(), 1.1 * self.takes, near=place.swapping)
        figures["ended by itself" if done else "killed"] += 1
        if self.lose:
            database = max((place.server.store / "db").glob("rows*/db"), key=lambda found: found.stat().st_size)
            with database.open("r+b") as file:
                file.truncate(database.stat().st_size // 3)
        place.server.start()
        now = self.state(self.user)
        if now not in (before, self.then):
            wrong = sorted(set(now.items()) ^ set(before.items()), key=str)[:3]
            raise Broken(f"the account is neither as it was nor as in the backup: {wrong}")
        if done and now != self.then:
            raise Broken("the account was put back, and is not as in the backup")
        figures["as it was" if now == before else "as in the backup"] += 1
        if now == self.then:
            self.forget(now)
        place.check()
        if place.chance.random() < 0.4:
            place.server.stop()
            status, said, _ = place.finish(*self.words())
            if status != 0:
                raise Broken(f"restore --user after a killed one ended with {status}: {said[-300:]}")
            place.server.start()
            if self.state(self.user) != self.then:
                raise Broken("a second restore of the account did not put back what the backup has")
            self.forget(self.then)
            place.check()


SCENES = {"compact": Compact, "backup": Backup, "restore": Restore, "user": User}


def run_kind(kind: str, place: Place, rounds: int, seconds: float, seed: int, lose=False, report=print):
    """The rounds of one kind, until the time is up; (faults, figures in a sentence). After a fault the
    place is not to be used."""
    began = time.monotonic()
    place.folder = place.folder.parent / kind
    place.folder.mkdir()
    place.chance, faults, figures = random.Random(f"{seed} {kind}"), [], collections.Counter()
    position, done = place.server.log_size(), 0
    try:
        scene = SCENES[kind](place, lose)
        for number in range(1, rounds + 1):
            if time.monotonic() - began > seconds:
                break
            try:
                scene.round(figures)
                done = number
            except (Broken, oracle.Refused, OSError, ServerFailed, CommandFailed) as fault:
                # What follows goes on from a state that is not known.
                faults.append(f"{kind}, round {number}: {fault!s}")
                report(f"FAULT seed {seed}, {faults[-1]}", flush=True)
                break
        panics = place.server.panics_since(position)
        if panics and not lose:
            faults.append(f"{kind}: it panicked: {panics[0]}")
    except (Broken, ServerFailed, CommandFailed, OSError) as fault:
        faults.append(f"{kind} could not be set up: {fault!s}")
        report(f"FAULT seed {seed}, {faults[-1]}", flush=True)
    told = ", ".join(f"{count} {name}" for name, count in sorted(figures.items()))
    return faults, f"{kind}: {done} rounds ({told}), {len(faults)} faults"


def run_all(binary: Path, folder: Path, rounds: int, seconds: float, seed: int, kinds=KINDS, lose=False, report=print):
    """All kinds, in `seconds` in all; (faults, sentences)."""
    faults, sentences, place = [], [], None
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for kind in kinds:
            if place is None:
                base = folder / f"before-{kind}"
                base.mkdir()
                place = Place(base / "place", binary, random.Random(seed))
            found, sentence = run_kind(kind, place, rounds, seconds / len(kinds), seed, lose, report)
            faults += found
            sentences.append(sentence)
            report(sentence, flush=True)
            if found:
                place.server.end()
                place = None
    finally:
        if place:
            place.server.end()
    return faults, sentences


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, default=rig.ROOT / "target/release/sealdav")
    parser.add_argument("--rounds", type=int, default=20, help="kills of each kind")
    parser.add_argument("--seconds", type=float, default=3600.0, help="end after about so many, whatever is left")
    parser.add_argument("--only", action="append", choices=KINDS)
    parser.add_argument("--lose", action="store_true", help="leave what a careless program would; faults must be found")
    parser.add_argument("--seed", type=int, default=None, help="repeats the choices, though not the timing")
    options = parser.parse_args()
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="sealdav-x-") as folder:
        kinds = options.only or KINDS
        faults, _ = run_all(options.server.resolve(), Path(folder), options.rounds, options.seconds, seed, kinds, options.lose)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
