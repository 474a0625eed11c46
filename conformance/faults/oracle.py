"""The oracle of the durability checks: what was acknowledged, and what a server then holds.

Clients of several users send every request that changes something, each in names of its own, one
request after the other, and note each with what it would do (effects: path -> state, or None for
gone). What must hold after a crash follows: all that was answered with 2xx before it, as a whole;
the one request of each client that was under way may have happened, as a whole, or not at all.

Replicas keep a copy of a calendar by sync-collection (RFC 6578) alone. After any crash their token
must be accepted, must not be ahead, and one synchronisation must bring them to the listing.

An answer is known by its place: the port of the client's socket and a count, which is what the
trace of disk.c says too. So the oracle can be asked of any moment of a trace.
"""

import base64
import collections
import dataclasses
import hashlib
import http.client
import random
import re
import threading
import urllib.parse
import xml.etree.ElementTree as ElementTree

XML = {"Content-Type": "application/xml; charset=utf-8"}
CALENDAR = {"Content-Type": "text/calendar; charset=utf-8"}
LISTING = (
    '<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/><D:resourcetype/><D:displayname/><D:sync-token/>'
    '<K:note xmlns:K="urn:faults"/></D:prop></D:propfind>'
)
SYNC = (
    '<D:sync-collection xmlns:D="DAV:"><D:sync-token>{}</D:sync-token><D:sync-level>1</D:sync-level>'
    "<D:prop><D:getetag/></D:prop></D:sync-collection>"
)
NOTE = (
    '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><K:note xmlns:K="urn:faults">{}</K:note></D:prop></D:set>'
    "</D:propertyupdate>"
)
EVENT = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//sealdav//oracle//EN\r\nBEGIN:VEVENT\r\n"
    "UID:{uid}\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260101T100000Z\r\nDURATION:PT1H\r\n"
    "SUMMARY:Version {version}\r\nDESCRIPTION:{filler}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)
# The number in a sync-token that only grows.
TOKEN_NUMBER = re.compile(r":(\d+)$")
# Calendars that each client makes and deletes again.
OWN_CALENDARS = 2


class Refused(Exception):
    """The server answered what it must not answer."""


@dataclasses.dataclass(frozen=True)
class User:
    """A user and two calendars that stay."""

    name: str
    password: str
    host: str
    port: int
    home: str
    calendars: tuple[str, ...]
    timeout: float = 30.0


@dataclasses.dataclass(frozen=True)
class Object:
    """What one object is. An etag of None was never answered, so any will do."""

    uid: str
    digest: str
    etag: str | None
    note: str = ""

    def fits(self, found) -> bool:
        """Whether what was found is this."""
        same = isinstance(found, Object) and self.digest == found.digest and self.note == found.note
        return same and self.etag in (None, found.etag)


@dataclasses.dataclass(frozen=True)
class Collection:
    """A calendar; its members are objects for themselves."""

    note: str = ""

    def fits(self, found) -> bool:
        """Whether what was found is this."""
        return self == found


def digest(body: bytes) -> str:
    """What stands for a body."""
    return hashlib.sha256(body).hexdigest()[:16]


def token_number(token: str) -> int:
    """How far a sync-token has got."""
    found = TOKEN_NUMBER.search(token)
    if not found:
        raise Refused(f"the sync-token {token!r} does not end with a number")
    return int(found.group(1))


class Client:
    """One connection, opened when needed; `place` names its last answer."""

    def __init__(self, user: User):
        secret = base64.b64encode(f"{user.name}:{user.password}".encode()).decode()
        self.user, self.headers = user, {"Authorization": "Basic " + secret}
        self.connection, self.port, self.count = None, 0, 0

    def request(self, method, path, body=None, headers=None):
        """Returns (status, headers, body); raises OSError or HTTPException when it is cut off."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.user.host, self.user.port, timeout=self.user.timeout)
            self.connection.connect()
            self.port, self.count = self.connection.sock.getsockname()[1], 0
        data = body.encode() if isinstance(body, str) else body
        try:
            self.connection.request(method, path, data, {**self.headers, **(headers or {})})
            answer = self.connection.getresponse()
            found = answer.status, answer.headers, answer.read()
        except BaseException:
            self.close()
            raise
        self.count += 1
        if answer.will_close:
            self.close()
        return found

    def close(self) -> None:
        """End the connection."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    @property
    def place(self):
        """(port, number of the answer) of the last answer."""
        return self.port, self.count


@dataclasses.dataclass
class Step:
    """One request that changes something."""

    kind: str
    effects: dict
    place: tuple | None = None  # of its answer; None while it is under way
    refused: bool = False


def fold(settled: dict, steps, until=None):
    """What must hold: (settled, doubt, names touched). `until(place)` says whether that answer had
    left by then; without it every answer counts."""
    settled, doubt, touched = dict(settled), {}, set()
    for step in steps:
        touched |= set(step.effects)
        answered = step.place is not None and (until is None or until(step.place))
        if not answered:
            doubt = step.effects
            break
        if not step.refused:
            apply(settled, step.effects)
    return settled, doubt, touched


def apply(settled: dict, effects: dict) -> None:
    """Let effects happen."""
    for path, after in effects.items():
        if after is None:
            settled.pop(path, None)
        else:
            settled[path] = after


class Writer(threading.Thread):
    """Writes under its own names until told to stop or cut off."""

    def __init__(self, user: User, number: int, settled: dict, stop, seed: int, objects: int):
        super().__init__(daemon=True)
        self.user, self.number, self.stop, self.objects = user, number, stop, objects
        self.began, self.now = dict(settled), dict(settled)
        self.random, self.client = random.Random(seed), Client(user)
        self.steps, self.refused, self.trouble, self.failed = [], [], None, None

    def run(self):
        try:
            while not self.stop.is_set():
                self.once()
        except (OSError, http.client.HTTPException):
            pass  # the crash; what was under way stays in doubt
        except Exception as error:  # a bug here must not look like a success
            self.trouble = repr(error)

    @property
    def own(self):
        """The calendars that it makes and deletes."""
        return [f"{self.user.home}own-{self.number}-{at}/" for at in range(OWN_CALENDARS)]

    def random_name(self) -> str:
        """Some object, there or not."""
        calendars = [*self.user.calendars, *(path for path in self.own if path in self.now)]
        return f"{self.random.choice(calendars)}w{self.number}-{self.random.randrange(self.objects)}.ics"

    def hex(self) -> str:
        """A word that was never used before."""
        return f"{self.random.getrandbits(64):016x}"

    def once(self):
        """One request, or none when the choice does not fit."""
        chance = self.random.random()
        if chance < 0.09:
            return self.change_calendar(self.random.choice(self.own), self.random.random())
        path = self.random_name()
        before, chance = self.now.get(path), self.random.random()
        if before is None:
            return self.put("PUT new", path, self.hex(), {"If-None-Match": "*"})
        if chance < 0.14:
            return self.change("DELETE", {path: None}, "DELETE", path)
        if chance < 0.28:
            note = self.hex()
            return self.change(
                "PROPPATCH", {path: dataclasses.replace(before, note=note)}, "PROPPATCH", path, NOTE.format(note), XML
            )
        if chance < 0.5:
            return self.carry("MOVE" if chance < 0.4 else "COPY", path, before)
        match = before.etag or self.ask_etag(path)
        return self.put("PUT over", path, before.uid, {"If-Match": match}, before.note)

    def change_calendar(self, path, chance):
        """MKCALENDAR, DELETE of a calendar, or PROPPATCH of one."""
        if path not in self.now:
            return self.change("MKCALENDAR", {path: Collection()}, "MKCALENDAR", path)
        if chance < 0.4:
            gone = {name: None for name in self.now if name.startswith(path)}
            return self.change("DELETE calendar", gone, "DELETE", path)
        note = self.hex()
        return self.change("PROPPATCH calendar", {path: Collection(note)}, "PROPPATCH", path, NOTE.format(note), XML)

    def size(self) -> int:
        """About how many bytes the next body has."""
        return self.random.choice([10, 500, 2_000, 100_000 if self.random.random() < 0.1 else 50])

    def put(self, kind, path, uid, headers, note=""):
        """PUT of a new body; its ETag is remembered."""
        size = self.size()
        body = EVENT.format(uid=uid, version=self.hex(), filler="x" * size).encode()
        after = Object(uid, digest(body), None, note)
        answer = self.change(kind, {path: after}, "PUT", path, body, {**CALENDAR, **headers})
        if answer is not None:
            etag = answer["ETag"]
            if not etag:
                self.refused.append(f"{kind}: no ETag was answered")
            self.steps[-1].effects = {path: dataclasses.replace(after, etag=etag)}
            apply(self.now, self.steps[-1].effects)

    def carry(self, method, path, before):
        """MOVE or COPY to another name."""
        to = next((name for name in (self.random_name() for _ in range(5)) if name not in self.now), path)
        calendar = to[: to.rindex("/") + 1]
        taken = any(
            isinstance(one, Object) and one.uid == before.uid and name.startswith(calendar)
            for name, one in self.now.items()
            if name != path or method == "COPY"
        )
        if to in self.now or taken:
            return  # no two objects of a calendar have one UID (RFC 4791 section 5.3.2.1)
        effects = {to: dataclasses.replace(before, etag=None)}
        if method == "MOVE":
            effects[path] = None
        headers = {"Destination": f"http://{self.user.host}:{self.user.port}{to}", "Overwrite": "F"}
        self.change(method, effects, method, path, None, headers)

    def ask_etag(self, path) -> str:
        """The ETag that a MOVE or COPY did not tell."""
        status, headers, _ = self.client.request("HEAD", path)
        if status != 200:
            raise Refused(f"HEAD {path} was answered with {status}")
        self.now[path] = dataclasses.replace(self.now[path], etag=headers["ETag"])
        return headers["ETag"]

    def change(self, kind, effects, method, path, body=None, headers=None):
        """Send a request; its answer's headers if it was acknowledged. After an error of the
        server itself the doubt stays, and this client ends."""
        step = Step(kind, effects)
        self.steps.append(step)
        status, headers, answer = self.client.request(method, path, body, headers)
        if status >= 500:
            self.failed = f"{kind} {path}: {status} {answer[:200]!r}"
            raise http.client.HTTPException(f"the server failed with {status}")
        step.place = self.client.place
        if status >= 300 or (status == 207 and b" 200 OK" not in answer):
            step.refused = True
            self.refused.append(f"{kind}: {status} {answer[:120]!r}")
            return None
        apply(self.now, effects)
        return headers

    def acknowledged(self):
        """How many requests of each kind were."""
        return collections.Counter(step.kind for step in self.steps if step.place and not step.refused)


class Replica:
    """A client that keeps a copy of one calendar by sync-collection: names and ETags."""

    def __init__(self, user: User, calendar: str):
        self.user, self.calendar, self.token, self.etags = user, calendar, "", {}

    def catch_up(self, client: Client) -> None:
        """One whole synchronisation. Raises Refused when the token is."""
        while True:
            status, _, body = client.request("REPORT", self.calendar, SYNC.format(self.token), {"Depth": "0", **XML})
            if status >= 500:
                raise http.client.HTTPException(f"sync-collection was answered with {status}")
            if status != 207:
                raise Refused(f"sync-collection from {self.token!r} was answered with {status}")
            tree, more = ElementTree.fromstring(body), False
            for response in tree.findall("{DAV:}response"):
                path = urllib.parse.unquote(response.findtext("{DAV:}href", ""))
                status = response.findtext("{DAV:}status", "")
                if " 507" in status:
                    more = True
                elif " 404" in status:
                    self.etags.pop(path, None)
                else:
                    self.etags[path] = response.findtext(".//{DAV:}getetag")
            token = tree.findtext("{DAV:}sync-token", "").strip()
            if self.token and token_number(token) < token_number(self.token):
                raise Refused(f"the sync-token went back from {self.token} to {token}")
            self.token = token
            if not more:
                return

    def check(self, client: Client, found) -> list[str]:
        """Synchronise once, and compare with a listing."""
        now = found.tokens.get(self.calendar)
        if now is None:
            return [f"{self.calendar} is not there"]
        faults = []
        if self.token and token_number(now) < token_number(self.token):
            faults.append(f"{self.calendar}: the sync-token went back from {self.token} to {now}")
        try:
            self.catch_up(client)
        except Refused as error:
            self.token, self.etags = "", {}
            return [*faults, f"{self.calendar}: {error}"]
        listed = found.etags(self.calendar)
        if self.etags != listed:
            wrong = sorted(set(self.etags.items()) ^ set(listed.items()), key=str)[:4]
            faults.append(f"{self.calendar}: a replica does not come to the listing: {wrong}")
            self.token, self.etags = "", {}
        return faults


class Watcher(threading.Thread):
    """Keeps replicas of its user's calendars in step all the time: what was answered must still
    hold after the crash, so an answer may not tell of a change that is not on the disk yet."""

    def __init__(self, user: User, replicas, stop):
        super().__init__(daemon=True)
        self.user, self.replicas, self.stop = user, replicas, stop
        self.history = []  # (place, replica, token, etags) after each synchronisation
        self.keep = False
        self.refused, self.trouble = [], None

    def run(self):
        client = Client(self.user)
        try:
            while not self.stop.is_set():
                for replica in self.replicas:
                    replica.catch_up(client)
                    if self.keep:
                        self.history.append((client.place, replica, replica.token, dict(replica.etags)))
                self.stop.wait(0.01)
        except (OSError, http.client.HTTPException):
            pass  # the crash
        except Refused as error:
            self.refused.append(str(error))
        except Exception as error:
            self.trouble = repr(error)


class Found:
    """What a server holds for one user, as its listings say."""

    def __init__(self, client: Client):
        self.user, self.client = client.user, client
        self.states, self.tokens, self.faults = {}, {}, []
        self.collections = set()
        for path, response in self.listing(self.user.home):
            if response.find(".//{DAV:}collection") is not None and path != self.user.home:
                self.collections.add(path)
        for path in sorted(self.collections):
            if path in self.user.calendars or "/own-" in path:
                self.read_calendar(path)

    def listing(self, path):
        """(path, response) of a collection and its members."""
        status, _, body = self.client.request("PROPFIND", path, LISTING, {"Depth": "1", **XML})
        if status != 207:
            raise Refused(f"the listing of {path} was answered with {status}: {body[:120]!r}")
        for response in ElementTree.fromstring(body).findall("{DAV:}response"):
            yield urllib.parse.unquote(response.findtext("{DAV:}href", "")), response

    def read_calendar(self, calendar):
        """Note the members of a calendar."""
        for path, response in self.listing(calendar):
            note = response.findtext(".//{urn:faults}note") or ""
            if path == calendar:
                self.tokens[path] = response.findtext(".//{DAV:}sync-token", "").strip()
                self.states[path] = Collection(note)
            else:
                self.states[path] = Object("", "", response.findtext(".//{DAV:}getetag"), note)

    def etags(self, calendar):
        """Members of a calendar with their ETags."""
        return {path: one.etag for path, one in self.states.items() if path.startswith(calendar) and path != calendar}

    def read(self, path) -> None:
        """GET an object: it must be as listed, and whole."""
        listed = self.states.get(path)
        status, headers, body = self.client.request("GET", path)
        if status == 404:
            if listed is not None:
                self.faults.append(f"{path} is listed, but GET was answered with 404")
                del self.states[path]
        elif status == 200:
            if listed is None or headers["ETag"] != listed.etag:
                self.faults.append(f"{path} has the ETag {headers['ETag']}, the listing says {listed}")
            uid = re.search(rb"UID:(\w+)", body)
            note = listed.note if listed else ""
            self.states[path] = Object(uid.group(1).decode() if uid else "", digest(body), headers["ETag"], note)
        else:
            self.faults.append(f"GET {path} was answered with {status}")


def number_of(path: str) -> int | None:
    """The client whose name this is."""
    match = re.search(r"/own-(\d+)-|/w(\d+)-", path)
    return int(match.group(1) or match.group(2)) if match else None


def check_writer(found: Found, number: int, settled, doubt, touched, sample=None):
    """Compare everything of one client with what was acknowledged: (what it has now, faults).

    Bodies are read of what was touched, of what seems changed, and of what `sample` picks; of the
    rest the ETag tells."""
    faults = []
    listed = {path for path in found.states if number_of(path) == number}
    for path in sorted(listed | set(settled) | set(touched)):
        wanted = settled.get(path)
        if path.endswith("/"):
            continue
        now = found.states.get(path)
        known = isinstance(wanted, Object) and now is not None and wanted.etag == now.etag and wanted.note == now.note
        if path in touched or path in doubt or not known or (sample and sample.random() < 0.05):
            found.read(path)
        else:
            found.states[path] = wanted
    faults += found.faults
    found.faults = []
    names = {path for path in found.states if number_of(path) == number} | set(settled)
    for path in sorted(names - set(doubt)):
        wanted, now = settled.get(path), found.states.get(path)
        if not is_as(wanted, now):
            verdict = "lost" if wanted is not None else "resurrected"
            faults.append(f"{verdict}: {path} is {say(now)}, acknowledged was {say(wanted)}")
    after = dict(settled)
    apply(after, doubt)
    if doubt and not any(all(is_as(world.get(path), found.states.get(path)) for path in doubt) for world in (settled, after)):
        seen = {path: say(found.states.get(path)) for path in doubt}
        faults.append(f"half done: {seen}, before {[say(settled.get(path)) for path in seen]}")
    return {path: one for path, one in found.states.items() if number_of(path) == number}, faults


def is_as(wanted, now) -> bool:
    """Whether a state, or nothing, was found where that is wanted."""
    return now is None if wanted is None else wanted.fits(now)


def say(one) -> str:
    """A state in a few words."""
    return "absent" if one is None else str(one)
