#!/usr/bin/env python3
"""kill -9 at random moments: every acknowledged write must survive.

    kill_rounds.py --server-cmd 'target/release/sealdav serve --config t.toml' \\
        --url https://localhost:8443/dav/calendars/anna/calendar/ --user anna --password ... --insecure
    kill_rounds.py --own target/release/sealdav --rounds 100

With --own it makes a data directory, an account and an app password itself, over plain HTTP.

Each round starts the server, lets several clients write in the collection --url at the same time
(PUT of new objects and over old ones, DELETE, PROPPATCH, MOVE), kills the server (its whole
process group) with SIGKILL at a random moment, starts it again and checks:

- every object is as the last acknowledged request left it: there with the ETag that was answered,
  byte for byte (GET), with the property that was set, or gone (GET and the listing). The one
  request of each client that was under way at the kill may have happened as a whole or not at all;
- DAV:sync-token has not gone back behind any that was answered before the kill, one client asking
  for it all the time; --token-number is a regular expression whose group 1 is the number in the
  token that only grows;
- two clients that keep a copy by sync-collection (RFC 6578), one that slept through the round and
  one that synchronised all the time until the kill, both come to exactly what the listing says.

The collection and the account must exist. The server must listen at --url within --start-seconds.
Objects are named killed-<client>-<number>.ics and are left there. Only Python's standard library.
Exit status: 0 when nothing was lost, 1 when something was, 2 when the test could not be run.
"""

import argparse
import base64
import collections
import dataclasses
import http.client
import os
import pathlib
import random
import re
import shlex
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree

SYNC_TOKEN = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<D:propfind xmlns:D="DAV:"><D:prop><D:sync-token/></D:prop></D:propfind>'
)
LISTING = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/><K:note xmlns:K="urn:faults"/></D:prop></D:propfind>'
)
SYNC = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<D:sync-collection xmlns:D="DAV:"><D:sync-token>{}</D:sync-token>'
    "<D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop></D:sync-collection>"
)
NOTE = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><K:note xmlns:K="urn:faults">{}</K:note></D:prop></D:set>'
    "</D:propertyupdate>"
)
EVENT = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//sealdav//kill rounds//EN\r\nBEGIN:VEVENT\r\n"
    "UID:{uid}\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260101T100000Z\r\nDURATION:PT1H\r\n"
    "SUMMARY:Version {version}\r\nDESCRIPTION:{filler}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)
XML = {"Content-Type": "application/xml; charset=utf-8"}
CALENDAR = "text/calendar; charset=utf-8"


class Unrunnable(Exception):
    """The test could not be run, which says nothing about the server's promises."""


class LostToken(Exception):
    """A sync-token that the server gave is refused."""


class Client:
    """One connection, opened when needed."""

    def __init__(self, arguments):
        self.url = urllib.parse.urlsplit(arguments.url)
        secret = f"{arguments.user}:{arguments.password}".encode()
        self.headers = {"Authorization": "Basic " + base64.b64encode(secret).decode()}
        self.base = arguments.url
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


@dataclasses.dataclass(frozen=True)
class Object:
    """What one object is. An etag of None was never answered, so any will do."""

    uid: str
    body: str
    etag: str | None
    note: str = ""

    def fits(self, found):
        """Whether what was found is this."""
        return found is not None and self.body == found.body and self.note == found.note and self.etag in (None, found.etag)


class Writer(threading.Thread):
    """Writes its own objects until told to stop or cut off. `settled` is what was acknowledged;
    `doubt` is what the request under way would change: name to Object, or to None for gone."""

    def __init__(self, arguments, number, settled, stop, seed):
        super().__init__(daemon=True)
        self.client = Client(arguments)
        self.number, self.settled, self.stop = number, settled, stop
        self.random = random.Random(seed)
        self.objects = arguments.objects
        self.doubt = {}
        self.acknowledged, self.refused, self.trouble = collections.Counter(), [], None

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
        before, chance = self.settled.get(name), self.random.random()
        if before is None:
            self.put("PUT new", name, Object(f"{self.random.getrandbits(64):016x}", "", None))
        elif chance < 0.15:
            self.change("DELETE", {name: None}, "DELETE", name)
        elif chance < 0.3:
            note = f"{self.random.getrandbits(64):016x}"
            after = dataclasses.replace(before, note=note)
            self.change("PROPPATCH", {name: after}, "PROPPATCH", name, NOTE.format(note), XML)
        elif chance < 0.5:
            self.move(name, before)
        else:
            self.put("PUT over", name, before)

    def put(self, kind, name, before):
        version = f"{self.random.getrandbits(64):016x}"
        filler = "x" * self.random.choice([10, 500, 2_000, 100_000 if self.random.random() < 0.1 else 50])
        body = EVENT.format(uid=before.uid, version=version, filler=filler)
        after = dataclasses.replace(before, body=body, etag=None)
        headers = self.change(kind, {name: after}, "PUT", name, body, {"Content-Type": CALENDAR})
        if headers is not None:
            self.settled[name] = dataclasses.replace(after, etag=headers["ETag"])

    def move(self, name, before):
        to = f"killed-{self.number}-{self.random.randrange(self.objects)}.ics"
        if to in self.settled:
            return  # another UID may not be put over it (RFC 4791 section 5.3.2.1)
        after = dataclasses.replace(before, etag=None)
        headers = {"Destination": self.client.base + to, "Overwrite": "F"}
        if self.change("MOVE", {name: None, to: after}, "MOVE", name, None, headers) is not None:
            status, headers, _ = self.client.request("HEAD", to)
            if status == 200:
                self.settled[to] = dataclasses.replace(after, etag=headers["ETag"])

    def change(self, kind, doubt, method, name, body=None, headers=None):
        """Send a request that changes objects; its answer's headers if it was acknowledged. After
        an error of the server itself the doubt stays, and this client ends."""
        self.doubt = doubt
        status, headers, answer = self.client.request(method, name, body, headers)
        if status >= 500:
            self.refused.append(f"{kind}: {status}")
            raise http.client.HTTPException("the server failed")
        if status >= 300 or (status == 207 and b" 200 OK" not in answer):
            self.refused.append(f"{kind}: {status}")
            self.doubt = {}
            return None
        for changed, after in doubt.items():
            if after is None:
                self.settled.pop(changed, None)
            else:
                self.settled[changed] = after
        self.doubt = {}
        self.acknowledged[kind] += 1
        return headers


class Mirror:
    """A client that keeps a copy of the collection by sync-collection: names and ETags."""

    def __init__(self, arguments):
        self.arguments, self.token, self.etags = arguments, "", {}

    def catch_up(self, client):
        """One whole synchronisation. Raises LostToken when the token is refused."""
        while True:
            status, _, body = client.request("REPORT", body=SYNC.format(self.token), headers={"Depth": "0", **XML})
            if status != 207:
                raise LostToken(f"sync-collection from {self.token!r} was answered with {status}")
            tree, more = ElementTree.fromstring(body), False
            for response in tree.findall("{DAV:}response"):
                name = last_segment(response.findtext("{DAV:}href", ""))
                status = response.findtext("{DAV:}status", "")
                if " 507" in status:
                    more = True
                elif " 404" in status:
                    self.etags.pop(name, None)
                else:
                    self.etags[name] = response.findtext(".//{DAV:}getetag")
            self.token = tree.findtext("{DAV:}sync-token", "").strip()
            if not more:
                return


class Watcher(threading.Thread):
    """Asks for the sync-token and synchronises all the time: what was answered must still hold
    after the kill, so an answer may not tell of a change that is not on the disk yet."""

    def __init__(self, arguments, stop, mirror):
        super().__init__(daemon=True)
        self.arguments, self.stop, self.mirror = arguments, stop, mirror
        self.latest, self.back, self.trouble = None, [], None

    def run(self):
        client = Client(self.arguments)
        try:
            while not self.stop.is_set():
                self.see(token(self.arguments, client))
                self.mirror.catch_up(client)
                self.see(self.mirror.token)
        except (OSError, http.client.HTTPException):
            pass  # the kill
        except Exception as error:
            self.trouble = repr(error)

    def see(self, text):
        if self.latest and token_number(self.arguments, text) < token_number(self.arguments, self.latest):
            self.back.append(f"from {self.latest} to {text}")
        self.latest = text


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
        "PROPFIND", body=SYNC_TOKEN, headers={"Depth": "0", **XML}
    )
    if status != 207:
        raise Unrunnable(f"PROPFIND of the sync-token was answered with {status}")
    found = ElementTree.fromstring(body).find(".//{DAV:}sync-token")
    if found is None or not found.text:
        raise Unrunnable("the collection has no DAV:sync-token")
    return found.text.strip()


def token_number(arguments, text):
    """The number in a token that only grows."""
    found = re.search(arguments.token_number, text)
    if not found:
        raise Unrunnable(f"--token-number does not fit the token {text!r}")
    return int(found.group(1), arguments.token_base)


def last_segment(href):
    """The name that an href ends with."""
    return urllib.parse.unquote(urllib.parse.urlsplit(href).path.rsplit("/", 1)[-1])


def listing(client):
    """Name to (ETag, note) of every member, by PROPFIND."""
    status, _, body = client.request("PROPFIND", body=LISTING, headers={"Depth": "1", **XML})
    if status != 207:
        raise Unrunnable(f"the listing was answered with {status}")
    found = {}
    for response in ElementTree.fromstring(body).findall("{DAV:}response"):
        name = last_segment(response.findtext("{DAV:}href", ""))
        if name:
            found[name] = (response.findtext(".//{DAV:}getetag"), response.findtext(".//{urn:faults}note") or "")
    return found


def found_objects(client, names):
    """Every object as GET and the listing have it; (objects, what does not agree)."""
    listed, objects, faults = listing(client), {}, []
    for name in sorted(names | set(listed)):
        if not name.startswith("killed-"):
            continue
        status, headers, body = client.request("GET", name)
        if status == 404:
            objects[name] = None
            if name in listed:
                faults.append(f"{name} is listed, but GET was answered with 404")
        elif status == 200:
            etag, note = listed.get(name, (None, ""))
            if headers["ETag"] != etag:
                faults.append(f"{name} has the ETag {headers['ETag']}, the listing says {etag}")
            text = body.decode(errors="replace")
            uid = re.search(r"UID:(\w+)", text)
            objects[name] = Object(uid.group(1) if uid else "", text, headers["ETag"], note)
        else:
            faults.append(f"GET {name} was answered with {status}")
    return objects, faults


def check(client, writers):
    """Compares every object with what was acknowledged, and settles what was in doubt."""
    names = {name for writer in writers for name in {**writer.settled, **writer.doubt}}
    # Names that were deleted in this round are asked for too.
    names |= {f"killed-{writer.number}-{at}.ics" for writer in writers for at in range(writer.objects)}
    found, faults = found_objects(client, names)
    for writer in writers:
        for name, now in found.items():
            if int(name.split("-")[1]) != writer.number or name in writer.doubt:
                continue
            wanted = writer.settled.get(name)
            if wanted is not now and (wanted is None or not wanted.fits(now)):
                faults.append(f"{name} is {say(now)}, acknowledged was {say(wanted)}")
        if writer.doubt and not any(
            all(is_as(world.get(name), found.get(name)) for name in writer.doubt)
            for world in (writer.settled, {**writer.settled, **writer.doubt})
        ):
            seen = {name: say(found.get(name)) for name in writer.doubt}
            faults.append(f"a request was half done: {seen}, before {[say(writer.settled.get(n)) for n in seen]}")
    settled = {}
    for name, now in found.items():
        if now is not None:
            settled.setdefault(int(name.split("-")[1]), {})[name] = now
    return settled, faults


def is_as(wanted, found):
    """Whether an object, or nothing, was found where that is wanted."""
    return found is None if wanted is None else wanted.fits(found)


def say(one):
    """An object in a few words."""
    if one is None:
        return "absent"
    version = re.search(r"SUMMARY:Version (\w+)", one.body)
    return f"version {version.group(1) if version else '?'} etag {one.etag} note {one.note or '-'}"


def write_until_killed(arguments, server, settled, awake, chance):
    """Let the clients write, and kill the server under them."""
    stop = threading.Event()
    writers = [
        Writer(arguments, at, dict(settled.get(at, {})), stop, chance.getrandbits(64)) for at in range(arguments.clients)
    ]
    watcher = Watcher(arguments, stop, awake)
    ended = None
    try:
        for one in [*writers, watcher]:
            one.start()
        time.sleep(chance.uniform(arguments.least_seconds, arguments.most_seconds))
        ended = server.poll()
    finally:
        kill(server)
        stop.set()
    for one in [*writers, watcher]:
        one.join()
        if one.trouble:
            raise Unrunnable(f"a client broke: {one.trouble}")
    faults = [f"the sync-token went back {text} while the server ran" for text in watcher.back]
    if ended is not None:
        faults.append(f"the server ended by itself with {ended}")
    return writers, watcher, faults


def run_round(arguments, settled, sleeper, awake, chance):
    """One start, one kill, one check; (writers, faults, seconds until it was up again)."""
    server, _ = start(arguments)
    try:
        before = token(arguments)
    except BaseException:
        kill(server)
        raise
    writers, watcher, faults = write_until_killed(arguments, server, settled, awake, chance)
    server, seconds = start(arguments)
    try:
        client = Client(arguments)
        after = token(arguments, client)
        for text in (before, watcher.latest, awake.token):
            if text and token_number(arguments, after) < token_number(arguments, text):
                faults.append(f"the sync-token went back from {text} to {after}")
        found, wrong = check(client, writers)
        faults += wrong
        listed = {name: etag for name, (etag, _) in listing(client).items()}
        for mirror, name in ((sleeper, "slept"), (awake, "was awake")):
            try:
                mirror.catch_up(client)
            except LostToken as error:
                faults.append(f"the client that {name}: {error}")
                mirror.token, mirror.etags = "", {}
                continue
            if mirror.etags != listed:
                wrong = sorted(set(mirror.etags.items()) ^ set(listed.items()))[:5]
                faults.append(f"the client that {name} does not come to the listing: {wrong}")
        settled.clear()
        settled.update(found)
    finally:
        kill(server)
    return writers, faults, seconds


def own_server(arguments, folder):
    """With --own: a data directory, an account, and how to start the server on it."""
    import rig  # only here: without --own this file stands for itself

    server = rig.Rig(pathlib.Path(folder), arguments.own)
    account = server.add_account("anna")
    arguments.server_cmd = shlex.join(server.command())
    arguments.url, arguments.user, arguments.password = account.url(account.calendar), account.name, account.password
    arguments.server_log = arguments.server_log or str(server.log)
    return server


def run_rounds(arguments, report=print):
    """All rounds; (what was acknowledged by kind, faults). Raises Unrunnable."""
    chance = random.Random(arguments.seed)
    settled, sleeper, awake = {}, Mirror(arguments), Mirror(arguments)
    total, faults, slowest = collections.Counter(), [], 0.0
    for number in range(1, arguments.rounds + 1):
        writers, found, seconds = run_round(arguments, settled, sleeper, awake, chance)
        acknowledged = sum((writer.acknowledged for writer in writers), collections.Counter())
        refused = [text for writer in writers for text in writer.refused]
        faults += [f"round {number}: {text}" for text in found]
        faults += [f"round {number}: refused {text}" for text in sorted(set(refused))]
        report(
            f"round {number}: {acknowledged.total()} acknowledged, {len(refused)} refused, "
            f"up again in {seconds:.2f} s, {len(faults)} faults",
            flush=True,
        )
        if not acknowledged:
            raise Unrunnable("no write was acknowledged in this round")
        total += acknowledged
        slowest = max(slowest, seconds)
    return total, faults, slowest


def parse(words=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--own", type=pathlib.Path, help="the server's program; everything else is made for it")
    parser.add_argument("--server-cmd", help="starts the server in the foreground")
    parser.add_argument("--url", help="the collection, with a slash at the end")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--insecure", action="store_true", help="accept any certificate")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--objects", type=int, default=20, help="objects of each client")
    parser.add_argument("--least-seconds", type=float, default=0.2, help="earliest kill after the clients began")
    parser.add_argument("--most-seconds", type=float, default=2.0, help="latest kill")
    parser.add_argument("--start-seconds", type=float, default=30.0)
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds for one answer")
    parser.add_argument("--token-number", default=r":(\d+)$", help="regular expression, group 1 only grows")
    parser.add_argument("--token-base", type=int, default=10)
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
    print(f"seed {arguments.seed}")
    with tempfile.TemporaryDirectory(prefix="sealdav-k-") as folder:
        server = own_server(arguments, folder) if arguments.own else None
        try:
            total, faults, slowest = run_rounds(arguments)
        except (Unrunnable, OSError, http.client.HTTPException, ElementTree.ParseError) as error:
            print(f"cannot run: {error!r}")
            return 2
        finally:
            if server:
                server.end()
    for fault in faults[:50]:
        print("FAULT", fault)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(total.items()))
    print(f"{arguments.rounds} kills, {total.total()} writes acknowledged ({kinds}), up again within {slowest:.2f} s, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
