"""khal: a terminal calendar on a folder that vdirsyncer keeps in step with the server."""

import random
import re

from harness.context import Context
from harness.dav import Dav
from harness.servers import Sealdav
from suites.vdirsyncer import Pair, item, remote_holds, remote_items

NAME = "khal"
NEEDS = ["python"]
# Random recurring events of the agenda of a year; recurrence/khal_agenda.py by hand has 500.
EVENTS = 40

CONFIG = """
[calendars]
[[work]]
path = {path}
type = calendar

[sqlite]
path = {folder}/khal.db

[locale]
timeformat = %H:%M
dateformat = %Y-%m-%d
longdateformat = %Y-%m-%d
datetimeformat = %Y-%m-%d %H:%M
longdatetimeformat = %Y-%m-%d %H:%M
default_timezone = Europe/Berlin
local_timezone = Europe/Berlin

[default]
default_calendar = work
"""


class Khal:
    """khal with a configuration, and the vdirsyncer pair below it."""

    def __init__(self, context: Context, pair: Pair):
        self.context = context
        self.pair = pair
        self.config = context.folder / "khal.conf"
        self.config.write_text(CONFIG.format(path=pair.local, folder=context.folder))

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        program = self.context.tool("khal")
        return self.context.run(program, "--config", str(self.config), *arguments, stdin=stdin).out

    def list(self, first: str, last: str) -> str:
        """The agenda without colours."""
        text = self("list", "--format", "{start-time} {title}{repeat-symbol}", first, last)
        return re.sub(r"\x1b\[[0-9;]*m", "", text)


def run(context: Context) -> None:
    """List, new, edit, delete, each carried to the server and back."""
    account = context.account()
    dav = context.dav(account)
    pair = Pair(context, account, "khal", account.calendar.strip("/").rsplit("/", 1)[-1])
    khal = Khal(context, pair)
    with context.check("list-what-the-server-has"):
        dav.put(account.calendar + "there.ics", item("there@k", "From the server", 9))
        pair.discover()
        pair.sync()
        listed = khal.list("2030-01-01", "2030-01-02")
        assert "10:00 From the server" in listed, listed
    with context.check("new"):
        khal("new", "2030-02-01", "14:00", "15:30", "Zahnärztin 🦷", "::", "Nicht vergessen")
        pair.sync()
        assert remote_holds(dav, account.calendar, "SUMMARY:Zahnärztin 🦷")
    with context.check("new-all-day"):
        khal("new", "2030-02-02", "2030-02-04", "Three days")
        pair.sync()
        body = find(dav, account.calendar, "SUMMARY:Three days")
        assert "DTSTART;VALUE=DATE:20300202" in body and "DTEND;VALUE=DATE:20300205" in body, body
    recurring(context, khal, pair, dav)
    editing(context, khal, pair, dav)
    with context.check("import"):
        file = context.folder / "import.ics"
        file.write_bytes(item("imported@k", "Imported").encode())
        khal("import", "--batch", "--include-calendar", "work", str(file))
        pair.sync()
        assert remote_holds(dav, account.calendar, "UID:imported@k")
    if isinstance(context.server, Sealdav):
        with context.check("agenda-of-a-year-equals-expand"):
            agenda(context)


def agenda(context: Context) -> None:
    """khal's year of random recurring events, against a second server's expand."""
    script = context.root / "recurrence" / "khal_agenda.py"
    options = {"--events": EVENTS, "--seed": random.randrange(1_000_000), "--server": context.server.binary}
    words = [str(word) for option in options.items() for word in option]
    output = context.run(context.tool("python"), str(script), *words, timeout=120, check=False)
    assert output.code == 0, f"{output.out[-3000:]} {output.err[-1000:]}"


def recurring(context: Context, khal: Khal, pair: Pair, dav: Dav) -> None:
    """A recurring event with a time zone, and one occurrence changed on the server."""
    calendar = pair.remote
    with context.check("new-recurring"):
        khal("new", "--repeat", "weekly", "--until", "2030-06-30", "2030-03-05", "10:00", "11:00", "Weekly")
        pair.sync()
        body = find(dav, calendar, "SUMMARY:Weekly")
        assert "RRULE:FREQ=WEEKLY" in body and "BEGIN:VTIMEZONE" in body, body
        listed = khal.list("2030-03-05", "2030-04-10")
        assert listed.count("10:00 Weekly") == 6, listed
    with context.check("list-an-override-made-on-the-server"):
        path, body = next((p, b) for p, b in remote_items(dav, calendar).items() if b"SUMMARY:Weekly" in b)
        uid = re.search(r"^UID:(.*?)\r?$", body.decode(), re.M)[1]
        override = (
            f"BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20250101T000000Z\r\n"
            "RECURRENCE-ID;TZID=Europe/Berlin:20300312T100000\r\nDTSTART;TZID=Europe/Berlin:20300312T160000\r\n"
            "DTEND;TZID=Europe/Berlin:20300312T170000\r\nSUMMARY:Weekly moved\r\nEND:VEVENT\r\n"
        )
        dav.put(path, body.decode().replace("END:VCALENDAR", override + "END:VCALENDAR"))
        pair.sync()
        listed = khal.list("2030-03-12", "2030-03-13")
        assert "16:00 Weekly moved" in listed and "10:00 Weekly" not in listed, listed


def editing(context: Context, khal: Khal, pair: Pair, dav: Dav) -> None:
    """`khal edit` asks questions; the answers come from standard input."""
    with context.check("edit-summary-and-location"):
        khal("edit", "Zahnärztin", stdin="s\nZahnarzt neu\nl\nPraxis, 2. Stock\nq\n")
        pair.sync()
        body = find(dav, pair.remote, "SUMMARY:Zahnarzt neu")
        assert "LOCATION:Praxis\\, 2. Stock" in body, body
    with context.check("edit-time"):
        khal("edit", "Zahnarzt neu", stdin="t\n2030-02-01 16:00 2030-02-01 17:00\nq\n")
        pair.sync()
        body = find(dav, pair.remote, "SUMMARY:Zahnarzt neu")
        assert "20300201T160000" in body, body
    with context.check("delete"):
        khal("edit", "Zahnarzt neu", stdin="D\ny\nq\n")
        pair.sync()
        assert not remote_holds(dav, pair.remote, "SUMMARY:Zahnarzt neu"), "still there"


def find(dav: Dav, collection: str, text: str) -> str:
    """The remote item that contains a text; raises if there is none."""
    for body in remote_items(dav, collection).values():
        if text in body.decode():
            return body.decode()
    raise AssertionError(f"no item with {text!r} on the server")
