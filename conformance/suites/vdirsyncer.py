"""vdirsyncer: two-way synchronisation, conflicts, deletes, metadata, and a thousand events.

The local side is a folder of .ics files, written and read here; the remote
side is read back with our own client. In the last part a thousand generated
events are uploaded, the server is restarted, and every byte must come back.
"""

import hashlib

from pathlib import Path

import events
from harness.context import Context
from harness.dav import Account, Dav

NAME = "vdirsyncer"
NEEDS = ["python"]

APPLE = "http://apple.com/ns/ical/"
# Seconds for uploading or downloading the thousand events.
BULK_TIMEOUT = 400


def run(context: Context) -> None:
    """All parts, on one account."""
    account = context.account()
    dav = context.dav(account)
    two_way(context, account, dav)
    conflicts(context, account, dav)
    metadata(context, account, dav)
    thousand(context, account, dav)


class Pair:
    """One vdirsyncer configuration: a local folder and the account's home, one collection."""

    def __init__(self, context: Context, account: Account, name: str, collection: str, conflict: str = "null"):
        self.context = context
        self.folder = context.folder / name
        self.local = self.folder / "local" / collection
        self.remote = account.home + collection + "/"
        self.local.mkdir(parents=True)
        self.config = self.folder / "config"
        self.config.write_text(configuration(context, account, self.folder, collection, conflict))

    def vdirsyncer(self, *command: str, check: bool = True, timeout: float = 120):
        """Run one command, answering yes to every question."""
        program = self.context.tool("vdirsyncer")
        return self.context.run(
            *[program, "--verbosity", "INFO", "--config", str(self.config), *command],
            stdin="y\n" * 20,
            check=check,
            timeout=timeout,
        )

    def discover(self) -> None:
        """Find the collections, making those that are missing."""
        self.vdirsyncer("discover")

    def sync(self, check: bool = True, timeout: float = 120):
        """Synchronise."""
        return self.vdirsyncer("sync", check=check, timeout=timeout)

    def write(self, name: str, body: str) -> None:
        """Write a local item."""
        (self.local / f"{name}.ics").write_bytes(body.encode())

    def files(self) -> dict[str, bytes]:
        """The local items by file name."""
        return {path.name: path.read_bytes() for path in self.local.glob("*.ics")}

    def holds(self, text: str) -> bool:
        """Whether some local item contains a text."""
        return any(text.encode() in body for body in self.files().values())


def configuration(context: Context, account: Account, folder: Path, collection: str, conflict: str) -> str:
    """The configuration file's text; `conflict` is a JSON value of conflict_resolution."""
    verify = f'verify = "{context.server.ca}"' if context.server.ca else ""
    return f"""
[general]
status_path = "{folder}/status/"

[pair sealdav]
a = "local"
b = "remote"
collections = ["{collection}"]
conflict_resolution = {conflict}
metadata = ["displayname", "color"]

[storage local]
type = "filesystem"
path = "{folder}/local"
fileext = ".ics"

[storage remote]
type = "caldav"
url = "{account.url("/")}"
username = "{account.name}"
password = "{account.password}"
{verify}
"""


def item(uid: str, summary: str, hour: int = 10) -> str:
    """A small event."""
    return (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//sealdav//conformance//EN\r\nBEGIN:VEVENT\r\n"
        f"UID:{uid}\r\nDTSTAMP:20250101T000000Z\r\nDTSTART:20300101T{hour:02d}0000Z\r\n"
        f"DTEND:20300101T{hour:02d}3000Z\r\nSUMMARY:{summary}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )


def remote_items(dav: Dav, collection: str) -> dict[str, bytes]:
    """Everything in a collection by path."""
    return {path: dav.get(path) for path in dav.children(collection)}


def remote_holds(dav: Dav, collection: str, text: str) -> bool:
    """Whether some remote item contains a text."""
    return any(text.encode() in body for body in remote_items(dav, collection).values())


def two_way(context: Context, account: Account, dav: Dav) -> None:
    """Items made, changed and deleted on either side reach the other."""
    pair = Pair(context, account, "two-way", "made-by-vdirsyncer")
    with context.check("discover-makes-a-collection"):
        pair.discover()
        assert pair.remote in [path for path in dav.children(account.home)], "the collection is not in the home"
    with context.check("upload"):
        pair.write("one", item("one@v", "first"))
        pair.write("two", item("two@v", "second"))
        pair.sync()
        bodies = set(remote_items(dav, pair.remote).values())
        assert bodies == set(pair.files().values()), "the remote items are not the local ones"
    with context.check("download"):
        dav.put(pair.remote + "three.ics", item("three@v", "third"))
        pair.sync()
        assert pair.holds("SUMMARY:third"), "not there"
    with context.check("change-here"):
        pair.write("one", item("one@v", "first changed"))
        pair.sync()
        assert remote_holds(dav, pair.remote, "SUMMARY:first changed")
    with context.check("change-there"):
        dav.put(pair.remote + "three.ics", item("three@v", "third changed"))
        pair.sync()
        assert pair.holds("SUMMARY:third changed")
    with context.check("change-on-both-sides-of-different-items"):
        pair.write("two", item("two@v", "second here"))
        dav.put(pair.remote + "three.ics", item("three@v", "third there"))
        pair.sync()
        assert remote_holds(dav, pair.remote, "SUMMARY:second here") and pair.holds("SUMMARY:third there")
    with context.check("delete-here"):
        (pair.local / "one.ics").unlink()
        pair.sync()
        assert not remote_holds(dav, pair.remote, "UID:one@v"), "still there"
    with context.check("delete-there"):
        dav.delete(pair.remote + "three.ics")
        pair.sync()
        assert not pair.holds("UID:three@v"), "still here"
    with context.check("same-uid-again-after-delete"):
        pair.write("one", item("one@v", "first again"))
        pair.sync()
        assert remote_holds(dav, pair.remote, "SUMMARY:first again")
    with context.check("nothing-to-do"):
        output = pair.sync().both
        assert "Copying" not in output and "Deleting" not in output, output


def conflicts(context: Context, account: Account, dav: Dav) -> None:
    """An item that changed on both sides: unresolved, either side wins, or a command decides."""
    for name, setting, expected in (
        ("unresolved", "null", None),
        ("here-wins", '"a wins"', "changed here"),
        ("there-wins", '"b wins"', "changed there"),
        ("by-command", '["command", "cp"]', "changed there"),
    ):
        with context.check(f"conflict-{name}"):
            conflict(context, account, dav, name, setting, expected)


def conflict(context: Context, account: Account, dav: Dav, name: str, setting: str, expected: str | None) -> None:
    """One conflict; `expected` is the summary both sides must have afterwards, or None if both keep theirs."""
    dav.mkcalendar(f"{account.home}conflict-{name}/")
    pair = Pair(context, account, f"conflict-{name}", f"conflict-{name}", setting)
    if "command" in setting:
        # cp LOCAL REMOTE would take the local version; this takes the remote one for both.
        script = pair.folder / "merge"
        script.write_text('#!/bin/sh\ncp "$2" "$1"\n')
        script.chmod(0o755)
        text = pair.config.read_text().replace('["command", "cp"]', f'["command", "{script}"]')
        pair.config.write_text(text)
    pair.discover()
    pair.write("one", item("conflict@v", "before"))
    pair.sync()
    [path] = dav.children(pair.remote)
    pair.write("one", item("conflict@v", "changed here"))
    dav.put(path, item("conflict@v", "changed there"))
    output = pair.sync(check=expected is not None)
    remote = dav.get(path).decode()
    if expected is None:
        assert output.code != 0 and "conflict" in output.both.lower(), "the conflict was not noticed"
        assert "SUMMARY:changed there" in remote and pair.holds("SUMMARY:changed here"), "a version was lost"
    else:
        assert f"SUMMARY:{expected}" in remote, "not there"
        assert pair.holds(f"SUMMARY:{expected}"), "not here"


def metadata(context: Context, account: Account, dav: Dav) -> None:
    """Names and colours in both directions."""
    path = f"{account.home}meta/"
    pair = Pair(context, account, "metasync", "meta")
    with context.check("metasync-prepare"):
        dav.mkcalendar(path)
        pair.discover()
        pair.vdirsyncer("metasync")
    with context.check("metasync-displayname-up"):
        (pair.local / "displayname").write_text("Kalender von Zoë & Co <1>")
        pair.vdirsyncer("metasync")
        assert dav.property(path, "DAV:", "displayname") == "Kalender von Zoë & Co <1>"
    with context.check("metasync-color-up"):
        (pair.local / "color").write_text("#12ab34")
        pair.vdirsyncer("metasync")
        found = dav.property(path, APPLE, "calendar-color").lower()
        assert found.startswith("#12ab34"), f"calendar-color is {found!r}"
    with context.check("metasync-displayname-down"):
        dav.proppatch(path, "DAV:", "displayname", "Neu ☃")
        pair.vdirsyncer("metasync")
        found = (pair.local / "displayname").read_text()
        assert found == "Neu ☃", f"displayname is {found!r}"
    with context.check("metasync-color-down"):
        dav.proppatch(path, APPLE, "calendar-color", "#ff00ff")
        pair.vdirsyncer("metasync")
        found = (pair.local / "color").read_text().lower()
        assert found.startswith("#ff00ff"), f"color is {found!r}"


def thousand(context: Context, account: Account, dav: Dav) -> None:
    """A thousand events up, restart, down, byte for byte."""
    made = dict(events.generate())
    path = f"{account.home}thousand/"
    pair = Pair(context, account, "thousand", "thousand")
    with context.check("thousand-upload"):
        dav.mkcalendar(path)
        pair.discover()
        for uid, body in made.items():
            (pair.local / f"{uid}.ics").write_bytes(body)
        pair.sync(timeout=BULK_TIMEOUT)
        found = len(dav.children(path))
        assert found == len(made), f"{found} of {len(made)} events are on the server"
    with context.check("thousand-restart"):
        context.server.restart()
    with context.check("thousand-identical-by-GET"):
        stored = remote_items(dav, path).values()
        compare(made, {hashlib.sha256(body).hexdigest() for body in stored}, exact=True)
    with context.check("thousand-nothing-to-do-after-restart"):
        output = pair.sync(timeout=BULK_TIMEOUT).both
        assert "Copying" not in output and "Deleting" not in output, output[-400:]
    with context.check("thousand-download-by-vdirsyncer"):
        # XML turns CRLF into LF (XML 1.0 section 2.11), so here line ends do not count.
        fresh = Pair(context, account, "thousand-fresh", "thousand")
        fresh.discover()
        fresh.sync(timeout=BULK_TIMEOUT)
        digests = {hashlib.sha256(with_lf(body)).hexdigest() for body in fresh.files().values()}
        compare(made, digests, exact=False)


def with_lf(body: bytes) -> bytes:
    """The body with bare line feeds."""
    return body.replace(b"\r\n", b"\n")


def compare(made: dict[str, bytes], digests: set[str], exact: bool) -> None:
    """Raise with the first events whose bytes are not among the digests."""
    missing = [
        uid for uid, body in made.items() if hashlib.sha256(body if exact else with_lf(body)).hexdigest() not in digests
    ]
    assert not missing, f"{len(missing)} of {len(made)} differ or are missing, first: {missing[:3]}"
    assert len(digests) == len(made), f"{len(digests)} events instead of {len(made)}"
