#!/usr/bin/env python3
"""kill -9 at random moments: every acknowledged write must survive.

    kill_rounds.py --server-cmd 'target/release/sealdav serve --config t.toml' \\
        --url https://localhost:8443/dav/anna/personal/ --user anna --password ... --rounds 50 --insecure

Each round starts the server, lets several clients PUT and DELETE in the collection --url at the
same time, kills the server (its whole process group) with SIGKILL at a random moment, starts it
again and checks:

- every object whose last acknowledged request was a PUT is there, with the ETag that was answered
  and the body that was sent; every one whose last was a DELETE is gone. An object with a request
  that was under way at the kill may be as before it or as after it, and nothing else;
- DAV:sync-token of the collection (PROPFIND, Depth 0) has not gone back behind any that was
  answered before the kill, one client asking for it all the time; --token-number is a regular
  expression whose group 1 is the number in the token that only grows;
- a sync-collection REPORT from the token taken before the round names every object that was
  acknowledged in the round (RFC 6578); --no-sync leaves out these two.

The collection and the account must exist. The server must listen at --url within --start-seconds.
Objects are named killed-<client>-<number>.ics and are left there. Only Python's standard library.
Exit status: 0 when nothing was lost, 1 when something was, 2 when the test could not be run.
"""

import argparse
import base64
import http.client
import os
import random
import re
import shlex
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree

SYNC_TOKEN = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<D:propfind xmlns:D="DAV:"><D:prop><D:sync-token/></D:prop></D:propfind>'
)
SYNC = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<D:sync-collection xmlns:D="DAV:"><D:sync-token>{}</D:sync-token>'
    "<D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop></D:sync-collection>"
)
EVENT = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//sealdav//kill rounds//EN\r\nBEGIN:VEVENT\r\n"
    "UID:{uid}\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260101T100000Z\r\nDURATION:PT1H\r\n"
    "SUMMARY:Version {version}\r\nDESCRIPTION:{filler}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


class Unrunnable(Exception):
    """The test could not be run, which says nothing about the server's promises."""


class Client:
    """One connection, opened when needed."""

    def __init__(self, arguments):
        self.url = urllib.parse.urlsplit(arguments.url)
        secret = f"{arguments.user}:{arguments.password}".encode()
        self.headers = {"Authorization": "Basic " + base64.b64encode(secret).decode()}
        self.timeout = arguments.timeout
        self.context = None
        if self.url.scheme == "https":
            self.context = ssl.create_default_context()
            if arguments.insecure:
                self.context.check_hostname = False
                self.context.verify_mode = ssl.CERT_NONE
        self.connection = None

    def request(self, method, name="", body=None, headers=None):
        """Returns (status, headers, body); raises OSError or HTTPException when it is cut off."""
        if self.connection is None:
            if self.context is None:
                self.connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=self.timeout)
            else:
                self.connection = http.client.HTTPSConnection(
                    self.url.hostname, self.url.port, timeout=self.timeout, context=self.context
                )
        data = body.encode() if body is not None else None
        try:
            self.connection.request(method, self.url.path + name, data, {**self.headers, **(headers or {})})
            answer = self.connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except BaseException:
            self.connection.close()
            self.connection = None
            raise


class Known:
    """What one object may be: a set of (etag, body), None standing for absent. An etag of None
    was never answered."""

    def __init__(self):
        self.may_be = [None]
        self.acknowledged = 0


class Writer(threading.Thread):
    """Writes its own objects until told to stop or cut off."""

    def __init__(self, arguments, number, known, stop, seed):
        super().__init__(daemon=True)
        self.client = Client(arguments)
        self.number, self.known, self.stop = number, known, stop
        self.random = random.Random(seed)
        self.objects = arguments.objects
        self.deletes = not arguments.no_delete
        self.acknowledged, self.refused, self.trouble = 0, 0, None

    def run(self):
        try:
            while not self.stop.is_set():
                self.once()
        except (OSError, http.client.HTTPException):
            pass  # the kill; what was under way stays in doubt
        except Exception as error:  # a bug here must not look like a success
            self.trouble = repr(error)

    def once(self):
        name = f"killed-{self.number}-{self.random.randrange(self.objects)}.ics"
        known = self.known.setdefault(name, Known())
        before = known.may_be
        if self.deletes and before != [None] and self.random.random() < 0.15:
            known.may_be = before + [None]
            status, _, _ = self.client.request("DELETE", name)
            self.settle(known, before, status, None, (404,))
        else:
            version = f"{self.random.getrandbits(64):016x}"
            filler = "x" * self.random.choice([10, 500, 2_000, 100_000 if self.random.random() < 0.1 else 50])
            body = EVENT.format(uid=name, version=version, filler=filler)
            known.may_be = before + [(None, body)]
            status, headers, _ = self.client.request("PUT", name, body, {"Content-Type": "text/calendar; charset=utf-8"})
            self.settle(known, before, status, (headers.get("ETag"), body), ())

    def settle(self, known, before, status, after, gone):
        """The answer came, so there is no doubt any more, unless it is a server's error."""
        if 200 <= status < 300 or status in gone:
            known.may_be = [after]
            known.acknowledged += 1
            self.acknowledged += 1
        elif status < 500:
            known.may_be = before
            self.refused += 1
        else:
            self.refused += 1


class Watcher(threading.Thread):
    """Asks for the sync-token all the time: one that was answered must still hold after the kill,
    so an answer may not tell of a change that is not on the disk yet."""

    def __init__(self, arguments, stop):
        super().__init__(daemon=True)
        self.arguments, self.stop = arguments, stop
        self.latest, self.trouble = None, None

    def run(self):
        client = Client(self.arguments)
        try:
            while not self.stop.is_set():
                self.latest = token(self.arguments, client)
        except (OSError, http.client.HTTPException):
            pass  # the kill
        except Exception as error:
            self.trouble = repr(error)


def start(arguments):
    """Starts the server and waits until it answers."""
    log = open(arguments.server_log, "ab") if arguments.server_log else subprocess.DEVNULL
    server = subprocess.Popen(shlex.split(arguments.server_cmd), stdout=log, stderr=log, start_new_session=True)
    if arguments.server_log:
        log.close()
    until = time.monotonic() + arguments.start_seconds
    began = time.monotonic()
    while time.monotonic() < until:
        if server.poll() is not None:
            raise Unrunnable(f"the server ended with {server.returncode} instead of listening")
        try:
            status, _, _ = Client(arguments).request("OPTIONS")
            if status in (401, 403):
                raise Unrunnable(f"the server answered OPTIONS with {status}: wrong user or password?")
            return server, time.monotonic() - began
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
    kill(server)
    raise Unrunnable("the server did not listen in time")


def kill(server):
    """SIGKILL for the server's own process group."""
    try:
        os.killpg(server.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    server.wait()


def token(arguments, client=None):
    """The collection's sync-token."""
    status, _, body = (client or Client(arguments)).request(
        "PROPFIND", body=SYNC_TOKEN, headers={"Depth": "0", "Content-Type": "application/xml"}
    )
    if status != 207:
        raise Unrunnable(f"PROPFIND of the sync-token was answered with {status}")
    found = ElementTree.fromstring(body).find(".//{DAV:}sync-token")
    if found is None or not found.text:
        raise Unrunnable("the collection has no DAV:sync-token; --no-sync leaves it out")
    return found.text.strip()


def token_number(arguments, text):
    """The number in a token that only grows."""
    found = re.search(arguments.token_number, text)
    if not found:
        raise Unrunnable(f"--token-number does not fit the token {text!r}")
    return int(found.group(1), arguments.token_base)


def changed_since(arguments, text):
    """The last path segments of what changed since a token."""
    names = set()
    while True:
        status, _, body = Client(arguments).request(
            "REPORT", body=SYNC.format(text), headers={"Depth": "0", "Content-Type": "application/xml"}
        )
        if status != 207:
            return None, status
        tree = ElementTree.fromstring(body)
        more = False
        for response in tree.findall("{DAV:}response"):
            path = urllib.parse.urlsplit(response.findtext("{DAV:}href", "")).path
            last = urllib.parse.unquote(path.rstrip("/").rsplit("/", 1)[-1])
            names.add(last)
            more = more or " 507" in response.findtext("{DAV:}status", "")
        following = tree.findtext("{DAV:}sync-token", "").strip()
        if not more or not following or following == text:
            return names, 207
        text = following


def check(arguments, known, faults, round_number):
    """Compares every object with what it may be, and settles what was in doubt."""
    client = Client(arguments)
    for name, object_known in sorted(known.items()):
        status, headers, body = client.request("GET", name)
        if status == 404:
            found = None
        elif status == 200:
            found = (headers.get("ETag"), body.decode(errors="replace"))
        else:
            faults.append(f"round {round_number}: GET {name} was answered with {status}")
            continue
        fits = [one for one in object_known.may_be if matches(one, found)]
        if not fits:
            faults.append(f"round {round_number}: {name} is {say(found)}, may be {[say(one) for one in object_known.may_be]}")
        object_known.may_be = [found]


def matches(one, found):
    """Whether what was found is this possibility."""
    if one is None or found is None:
        return one is found
    return one[1] == found[1] and (one[0] is None or one[0] == found[0])


def say(one):
    """A possibility in a few words."""
    if one is None:
        return "absent"
    version = re.search(r"SUMMARY:Version (\w+)", one[1])
    return f"version {version.group(1) if version else '?'} etag {one[0]}"


def run_round(arguments, number, known, faults, chance):
    """One start, one kill, one check. Returns what the writers did."""
    server, _ = start(arguments)
    stop = threading.Event()
    try:
        before = None if arguments.no_sync else token(arguments)
        counts = {name: one.acknowledged for name, one in known.items()}
        shares = [{} for _ in range(arguments.clients)]
        for name, one in known.items():
            shares[int(name.split("-")[1])][name] = one
        writers = [
            Writer(arguments, at, share, stop, chance.getrandbits(64)) for at, share in enumerate(shares)
        ]
        watchers = [] if arguments.no_sync else [Watcher(arguments, stop)]
        for one in writers + watchers:
            one.start()
        time.sleep(chance.uniform(arguments.least_seconds, arguments.most_seconds))
        if server.poll() is not None:
            faults.append(f"round {number}: the server ended by itself with {server.returncode}")
    finally:
        kill(server)
        stop.set()
    for writer in writers:
        writer.join()
        known.update(writer.known)
        if writer.trouble:
            raise Unrunnable(f"a client broke: {writer.trouble}")
    for watcher in watchers:
        watcher.join()
        if watcher.trouble:
            raise Unrunnable(f"the watcher broke: {watcher.trouble}")
    server, seconds = start(arguments)
    try:
        check(arguments, known, faults, number)
        if before is not None:
            after = token(arguments)
            latest = max([before] + [one.latest for one in watchers if one.latest], key=lambda text: token_number(arguments, text))
            if token_number(arguments, after) < token_number(arguments, latest):
                faults.append(f"round {number}: the sync-token went back from {latest} to {after}")
            written = {name for name, one in known.items() if one.acknowledged > counts.get(name, 0)}
            names, status = changed_since(arguments, before)
            if names is None:
                faults.append(f"round {number}: sync-collection from {before} was answered with {status}")
            elif written - names:
                faults.append(f"round {number}: sync-collection does not name {sorted(written - names)[:5]}")
    finally:
        kill(server)
    return sum(writer.acknowledged for writer in writers), sum(writer.refused for writer in writers), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server-cmd", required=True, help="started anew in each round, without a shell")
    parser.add_argument("--url", required=True, help="an existing calendar collection, with its final slash")
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--insecure", action="store_true", help="accept any certificate")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--objects", type=int, default=20, help="objects of each client")
    parser.add_argument("--least-seconds", type=float, default=0.2, help="earliest kill after the clients began")
    parser.add_argument("--most-seconds", type=float, default=2.0, help="latest kill")
    parser.add_argument("--start-seconds", type=float, default=30.0)
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds for one answer")
    parser.add_argument("--token-number", default=r"(\d+)\D*$", help="regular expression, group 1 only grows")
    parser.add_argument("--token-base", type=int, default=10)
    parser.add_argument("--no-sync", action="store_true", help="do not look at sync-tokens")
    parser.add_argument("--no-delete", action="store_true")
    parser.add_argument("--server-log", help="file for what the server prints")
    parser.add_argument("--seed", type=int, default=None, help="repeats the choices, though not the timing")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    chance, known, faults, total = random.Random(seed), {}, [], 0
    try:
        for number in range(1, arguments.rounds + 1):
            acknowledged, refused, seconds = run_round(arguments, number, known, faults, chance)
            total += acknowledged
            print(f"round {number}: {acknowledged} acknowledged, {refused} refused, up again in {seconds:.2f} s, {len(faults)} faults", flush=True)
            if acknowledged == 0:
                raise Unrunnable("no write was acknowledged in this round")
    except (Unrunnable, OSError, http.client.HTTPException, ElementTree.ParseError) as error:
        print(f"cannot run: {error}")
        for fault in faults[:50]:
            print("FAULT", fault)
        return 2
    for fault in faults[:50]:
        print("FAULT", fault)
    print(f"{arguments.rounds} kills, {total} writes acknowledged, {len(known)} objects, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
