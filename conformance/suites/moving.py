"""Moving in and out: the storage of a real Radicale is imported, exported, and put into another Radicale.

Both Radicales then answer the same bodies and properties: each writes what it
gets in its own way, and what went through sealdav is written as what did not.
"""

import json
import re
import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

from harness.context import Context
from harness.dav import Account, Dav
from harness.servers import Radicale, Sealdav

NAME = "moving"
NEEDS = ["python-servers", "openssl"]

ICAL = "http://apple.com/ns/ical/"
COLOR = "#12ab34ff"


def event(uid: str, more: str = "") -> str:
    """An event with what a careless copy would lose."""
    lines = [
        *("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Example//EN", "BEGIN:VTIMEZONE", "TZID:Own", "BEGIN:STANDARD"),
        *("DTSTART:19700101T000000", "TZOFFSETFROM:+0100", "TZOFFSETTO:+0100", "END:STANDARD", "END:VTIMEZONE"),
        *("BEGIN:VEVENT", f"UID:{uid}", "DTSTAMP:20260101T000000Z", "DTSTART;TZID=Own:20260105T100000"),
        *("DURATION:PT1H", f"SUMMARY:{uid} ünïcode\\, and a comma", "X-OWN;X-P=1:kept", *more.split("\n"), "END:VEVENT"),
        "END:VCALENDAR",
    ]
    return "\r\n".join(line for line in lines if line) + "\r\n"


def fill(dav: Dav, account: Account) -> None:
    """Twenty events, one of them recurring with an override, and a to-do."""
    for number in range(20):
        dav.put(f"{account.calendar}{number}.ics", event(f"e{number}", "RRULE:FREQ=WEEKLY;COUNT=5"))
    moved = event("moved", "RRULE:FREQ=DAILY;COUNT=9")
    override = (
        "BEGIN:VEVENT\r\nUID:moved\r\nDTSTAMP:20260101T000000Z\r\nRECURRENCE-ID;TZID=Own:20260106T100000\r\n"
        "DTSTART;TZID=Own:20260106T180000\r\nSUMMARY:later\r\nEND:VEVENT\r\n"
    )
    dav.put(f"{account.calendar}a b.ics".replace(" ", "%20"), moved.replace("END:VCALENDAR", override + "END:VCALENDAR"))
    todo = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VTODO\r\nUID:t\r\nDTSTAMP:20260101T000000Z\r\nEND:VTODO\r\n"
    dav.put(f"{account.tasks}t.ics", todo + "END:VCALENDAR\r\n")
    dav.proppatch(account.calendar, "DAV:", "displayname", escape("Work & <more>"))
    dav.proppatch(account.calendar, ICAL, "calendar-color", COLOR)


def normal(body: bytes) -> list[str]:
    """The unfolded lines, without what a server puts in by itself."""
    text = re.sub(r"\r?\n[ \t]", "", body.decode())
    return sorted(line for line in text.splitlines() if not line.startswith("PRODID:"))


def bodies(dav: Dav, collection: str) -> dict[str, list[str]]:
    """Name to normalised body of all members."""
    return {path.rsplit("/", 1)[-1]: normal(dav.get(path)) for path in dav.children(collection)}


def cli(context: Context, account: Account, *arguments: str) -> str:
    """Import or export for an account."""
    server = context.server
    assert isinstance(server, Sealdav)
    password = server.account_password(account.name) + "\n"
    output = server.cli(*arguments, "--password-stdin", stdin=password, check=False)
    with context.log.open("a") as log:
        log.write(f"{arguments}\n{output.out}{output.err}\n")
    assert output.code == 0, output.out + output.err
    return output.out


def run(context: Context) -> None:
    """From Radicale, through the server, to another Radicale."""
    if not isinstance(context.server, Sealdav):
        return
    account = context.account()
    radicales = [Radicale(folder(context, name), context.installer.venv) for name in ("old", "new")]
    try:
        for radicale in radicales:
            radicale.start()
        move(context, account, *radicales)
    finally:
        for radicale in radicales:
            if radicale.alive():
                radicale.stop()
            radicale.remove()


def folder(context: Context, name: str) -> Path:
    """Where a Radicale logs."""
    path = context.folder / name
    path.mkdir()
    return path


def move(context: Context, account: Account, old: Radicale, new: Radicale) -> None:
    """The three steps and the comparison."""
    there = old.add_account("somebody")
    before = old.dav(there)
    with context.check("import-radicale-storage"):
        fill(before, there)
        printed = cli(context, account, "import", account.name, str(old.data / "collections"))
        assert "22 stored, 0 replaced, 0 there already, 0 skipped, 0 refused" in printed, printed
    with context.check("import-again-finds-everything"):
        printed = cli(context, account, "import", account.name, str(old.data / "collections"))
        assert "0 stored, 0 replaced, 22 there already" in printed, printed
    archive = context.folder / "export.zip"
    with context.check("export"):
        cli(context, account, "export", account.name, "--to", str(archive))
        stored = old.data / "collections" / "collection-root" / "somebody" / "calendar" / "3.ics"
        with zipfile.ZipFile(archive) as entries:
            assert entries.read("calendar/3.ics") == stored.read_bytes()
            said = json.loads(entries.read("calendar/collection.json"))
        assert (said["display_name"], said["color"]) == ("Work & <more>", COLOR), said
    with context.check("another-radicale-answers-the-same"):
        here = new.add_account("somebody")
        after = new.dav(here)
        put_all(after, here, archive)
        for collection in (here.calendar, here.tasks):
            wanted = bodies(before, collection)
            assert wanted and bodies(after, collection) == wanted
        for namespace, name in (("DAV:", "displayname"), (ICAL, "calendar-color")):
            assert after.property(here.calendar, namespace, name) == before.property(there.calendar, namespace, name)


def put_all(dav: Dav, account: Account, archive: Path) -> None:
    """Puts an archive into a server by HTTP, as its description says."""
    with zipfile.ZipFile(archive) as entries:
        for name, target in (("calendar", account.calendar), ("tasks", account.tasks)):
            said = json.loads(entries.read(f"{name}/collection.json"))
            names = {one["file"]: one["name"] for one in said["objects"] if "name" in one}
            for entry in entries.namelist():
                file = entry.removeprefix(f"{name}/")
                if entry.startswith(f"{name}/") and file.endswith(".ics"):
                    dav.put(target + names.get(file, file).replace(" ", "%20"), entries.read(entry))
            for one in said["properties"]:
                if one["name"] in ("displayname", "calendar-color"):
                    dav.proppatch(target, one["namespace"], one["name"], escape(one["text"]))
