#!/usr/bin/env python3
"""Compares the server's CALDAV:expand with recurring-ical-events on random recurring events.

    conformance/run --only khal            # once: makes conformance/.work/venv
    cargo build
    conformance/.work/venv/bin/python conformance/recurrence/agenda.py [--events 500] [--seed 1]

The events have zones, exclusions, further dates and periods, moved instances and changes of this and
all future instances. They are stored in a server of the script's own, asked for by one calendar-query
that expands a year, and compared by UID, start and end in UTC. Differences that are explained are
of a class in EXPLAINED and described in differences.md; the status is 1 if any other is there.
"""

import argparse
import collections
import random
import sys
import tempfile
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import icalendar
import recurring_ical_events
from dateutil import rrule

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.dont_write_bytecode = True

from harness.servers import Sealdav  # noqa: E402

YEAR = 2025
CALDAV = "urn:ietf:params:xml:ns:caldav"
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Sydney", "Asia/Kolkata", "America/Santiago", "UTC", None, "date"]
WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
LOCAL = "%Y%m%dT%H%M%S"


class Event:
    """One random recurring event."""

    def __init__(self, draw: random.Random, number: int):
        self.draw = draw
        self.uid = f"agenda-{number}"
        self.zone = draw.choice(ZONES)
        day = date(YEAR, 1, 1) + timedelta(days=draw.randint(-900, 300))
        clock = time(draw.choice([0, 1, 2, 3, 9, 12, 23]), draw.choice([0, 15, 30]))
        self.start = datetime.combine(day, time() if self.zone == "date" else clock)
        self.rule = self.random_rule()
        found = rrule.rrulestr(self.rule, dtstart=self.start)
        self.starts = list(found.between(datetime(YEAR - 3, 1, 1), datetime(YEAR + 1, 2, 1), inc=True))[:2000]

    def random_rule(self) -> str:
        """A rule that produces DTSTART, since what it is otherwise is undefined."""
        draw, start = self.draw, self.start
        frequency = draw.choice(["DAILY", "WEEKLY", "WEEKLY", "MONTHLY", "MONTHLY", "YEARLY"])
        if self.zone != "date" and draw.random() < 0.1:
            frequency = "HOURLY"
        parts = [f"FREQ={frequency}"]
        least = 5 if frequency == "HOURLY" else 1
        if least > 1 or draw.random() < 0.5:
            parts.append(f"INTERVAL={draw.randint(least, 9)}")
        own = WEEKDAYS[start.weekday()]
        if frequency == "WEEKLY" and draw.random() < 0.6:
            parts.append("BYDAY=" + ",".join(sorted({own, *draw.sample(WEEKDAYS, 2)})))
            parts.append(f"WKST={draw.choice(WEEKDAYS)}")
        if frequency == "MONTHLY":
            nth = (start.day - 1) // 7 + 1
            own_day = [f"BYDAY={nth}{own}", f"BYMONTHDAY={start.day},-1", f"BYDAY={own};BYSETPOS={nth}", ""]
            parts.append(draw.choice(own_day))
        if frequency == "YEARLY" and draw.random() < 0.5:
            parts.append(f"BYMONTH={start.month},7;BYMONTHDAY={start.day}")
        bound = draw.random()
        if bound < 0.3:
            parts.append(f"COUNT={draw.randint(1, 300)}")
        elif bound < 0.5:
            self.until = start + timedelta(days=draw.randint(1, 900))
            parts.append(f"UNTIL={self.until:{LOCAL}}")
        return ";".join(part for part in parts if part)

    def line(self, name: str, moment: datetime, more: str = "") -> str:
        """A property with a time of the event's kind."""
        if self.zone == "date":
            return f"{name};VALUE=DATE{more}:{moment:%Y%m%d}"
        if self.zone == "UTC":
            return f"{name}{more}:{moment:{LOCAL}}Z"
        zone = f";TZID={self.zone}" if self.zone else ""
        return f"{name}{zone}{more}:{moment:{LOCAL}}"

    def ending(self, start: datetime) -> str:
        """A random length."""
        draw = self.draw
        if self.zone == "date":
            return self.line("DTEND", start + timedelta(days=draw.randint(1, 4)))
        length = timedelta(minutes=15 * draw.randint(1, 120))
        if draw.random() < 0.5:
            return self.line("DTEND", start + length)
        return draw.choice([f"DURATION:PT{draw.randint(1, 1800)}M", "DURATION:P1D", ""])

    def written_rule(self) -> str:
        """The rule with its UNTIL in the form that DTSTART asks for."""
        if "UNTIL" not in self.rule:
            return self.rule
        head = self.rule.rsplit("UNTIL=", 1)[0]
        if self.zone == "date":
            return f"{head}UNTIL={self.until:%Y%m%d}"
        if self.zone is None:
            return self.rule
        until = self.until.replace(tzinfo=ZoneInfo(self.zone)).astimezone(timezone.utc)
        return f"{head}UNTIL={until:{LOCAL}}Z"

    def text(self) -> str:
        """The whole object."""
        draw = self.draw
        lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//sealdav//agenda//EN"]
        lines += self.component([self.line("DTSTART", self.start), f"RRULE:{self.written_rule()}", *self.set_lines()], self.start)
        chosen = draw.sample(self.starts, min(len(self.starts), draw.choice([0, 0, 1, 2, 3])))
        future = draw.random() < 0.15
        for start in sorted(chosen):
            if start not in self.excluded:
                moved = start + timedelta(days=draw.randint(-2, 2), hours=0 if self.zone == "date" else draw.randint(-5, 5))
                # this and all future ones, once
                ranged = ";RANGE=THISANDFUTURE" if future else ""
                future = False
                lines += self.component([self.line("RECURRENCE-ID", start, ranged), self.line("DTSTART", moved)], moved)
        return "\r\n".join([*lines, "END:VCALENDAR", ""])

    def set_lines(self) -> list[str]:
        """EXDATE and RDATE."""
        draw = self.draw
        self.excluded = draw.sample(self.starts, min(len(self.starts), draw.choice([0, 0, 1, 4])))
        lines = [self.line("EXDATE", start) for start in self.excluded]
        for _ in range(draw.choice([0, 0, 1, 2])):
            more = datetime.combine(date(YEAR, 1, 1) + timedelta(days=draw.randint(0, 364)), self.start.time())
            if self.zone != "date":
                more += timedelta(minutes=7)
            period = f"/PT{draw.randint(1, 90)}M"
            if self.zone != "date" and draw.random() < 0.3:
                lines.append(self.line("RDATE", more, ";VALUE=PERIOD") + period)
            else:
                lines.append(self.line("RDATE", more))
        return lines

    def component(self, lines: list[str], start: datetime) -> list[str]:
        """A VEVENT."""
        head = ["BEGIN:VEVENT", f"UID:{self.uid}", "DTSTAMP:20240101T000000Z", f"SUMMARY:{self.draw.random()}"]
        return [line for line in [*head, *lines, self.ending(start), "END:VEVENT"] if line]


def stamp(moment) -> str:
    """A time as it is compared: UTC, or as written for dates and floating times."""
    if not isinstance(moment, datetime):
        return f"{moment:%Y%m%d}"
    if moment.tzinfo is None:
        return f"{moment:{LOCAL}}"
    return f"{moment.astimezone(timezone.utc):{LOCAL}}Z"


def end_of(event) -> object:
    """DTEND, or what stands for it (RFC 5545 section 3.6.1)."""
    start = event["DTSTART"].dt
    if "DTEND" in event:
        return event["DTEND"].dt
    if "DURATION" in event:
        return start + event["DURATION"].dt
    return start if isinstance(start, datetime) else start + timedelta(days=1)


def agenda(components) -> set[tuple[str, str, str]]:
    """What is compared of each instance."""
    return {(str(event["UID"]), stamp(event["DTSTART"].dt), stamp(end_of(event))) for event in components}


def ours(server: Sealdav, texts: list[tuple[str, str]]) -> set[tuple[str, str, str]]:
    """The server's expand."""
    account = server.add_account("agenda")
    dav = server.dav(account)
    for uid, text in texts:
        dav.put(f"{account.calendar}{uid}.ics", text)
    window = f"start='{YEAR}0101T000000Z' end='{YEAR + 1}0101T000000Z'"
    found = set()
    # hrefs in several requests, since an answer holds a bounded number of instances
    for first in range(0, len(texts), 5):
        hrefs = "".join(f"<D:href>{account.calendar}{uid}.ics</D:href>" for uid, _ in texts[first : first + 5])
        body = (
            f"<C:calendar-multiget xmlns:D='DAV:' xmlns:C='{CALDAV}'><D:prop><C:calendar-data>"
            f"<C:expand {window}/></C:calendar-data></D:prop>{hrefs}</C:calendar-multiget>"
        )
        answer = dav.request("REPORT", account.calendar, body)
        assert answer.status == 207, f"{answer.status} {answer.body[:300]!r}"
        for data in answer.xml().iter(f"{{{CALDAV}}}calendar-data"):
            calendar = icalendar.Calendar.from_ical(data.text)
            assert "RRULE" not in data.text and "TZID" not in data.text
            found |= agenda(calendar.walk("VEVENT"))
    return found


def theirs(texts: list[tuple[str, str]]) -> set[tuple[str, str, str]]:
    """recurring-ical-events' agenda."""
    found = set()
    first, last = (datetime(year, 1, 1, tzinfo=timezone.utc) for year in (YEAR, YEAR + 1))
    for _, text in texts:
        calendar = icalendar.Calendar.from_ical(text)
        found |= agenda(recurring_ical_events.of(calendar).between(first, last))
    return found


def exact_length(text: str, ours_only: set, theirs_only: set) -> bool:
    """A1: the same starts, and every end as long after its start as DTEND or DURATION say."""
    same_starts = {entry[:2] for entry in ours_only} == {entry[:2] for entry in theirs_only}
    if not same_starts or not all(entry[2].endswith("Z") for entry in ours_only):
        return False
    lengths = set()
    for event in icalendar.Calendar.from_ical(text).walk("VEVENT"):
        if "DTEND" in event:
            start, end = (event[name].dt.astimezone(timezone.utc) for name in ("DTSTART", "DTEND"))
            lengths.add(end - start)
        elif "DURATION" in event:
            lengths.add(event["DURATION"].dt)
    of = [[datetime.strptime(text, LOCAL + "Z") for text in entry[1:]] for entry in ours_only]
    return all(end - start in lengths for start, end in of)


def later_length(text: str, ours_only: set, theirs_only: set) -> bool:
    """A2: an instance of an RDATE with a period, after a change of this and all future instances:
    the same start, and as long as that change says."""
    same_starts = {entry[:2] for entry in ours_only} == {entry[:2] for entry in theirs_only}
    if not same_starts or len(ours_only) > text.count("VALUE=PERIOD"):
        return False
    for event in icalendar.Calendar.from_ical(text).walk("VEVENT"):
        identity = event.get("RECURRENCE-ID")
        if identity is not None and identity.params.get("RANGE") == "THISANDFUTURE":
            length = end_of(event) - event["DTSTART"].dt
            form = LOCAL + ("Z" if all(entry[2].endswith("Z") for entry in ours_only) else "")
            return all(
                datetime.strptime(end, form) - datetime.strptime(start, form) == length for _, start, end in ours_only
            )
    return False


def other_clock(text: str, ours_only: set, theirs_only: set) -> bool:
    """A3: instances left out whose clock reading in UTC, or in the zone, is the reading in the zone,
    or in UTC, of an EXDATE or a RECURRENCE-ID; all else is the same, or of class A1."""
    master, *overrides = icalendar.Calendar.from_ical(text).walk("VEVENT")
    lines = master.get("EXDATE", [])
    named = [item.dt for line in (lines if isinstance(lines, list) else [lines]) for item in line.dts]
    named += [override["RECURRENCE-ID"].dt for override in overrides]
    zone = getattr(master["DTSTART"].dt, "tzinfo", None)
    if zone is None or not named:
        return False
    readings = {moment.replace(tzinfo=None) for moment in named}
    readings |= {moment.astimezone(timezone.utc).replace(tzinfo=None) for moment in named}
    # an instance that a change of all future ones has moved still goes by where it was
    for override in overrides:
        if override["RECURRENCE-ID"].params.get("RANGE") == "THISANDFUTURE":
            moved = override["DTSTART"].dt.replace(tzinfo=None) - override["RECURRENCE-ID"].dt.replace(tzinfo=None)
            readings |= {reading + moved for reading in readings}
    known = {entry[:2] for entry in theirs_only}
    left_out = {entry for entry in ours_only if entry[:2] not in known}
    for _, start, _ in left_out:
        moment = datetime.strptime(start, LOCAL + "Z").replace(tzinfo=timezone.utc)
        if not {moment.replace(tzinfo=None), moment.astimezone(zone).replace(tzinfo=None)} & readings:
            return False
    return bool(left_out) and exact_length(text, ours_only - left_out, theirs_only)


# Name in differences.md and the test whether a difference is of that class.
EXPLAINED = [("A1", exact_length), ("A2", later_length), ("A3", other_clock)]


def main() -> int:
    """Make the events, ask both, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=5)
    parser.add_argument("--server", type=Path, default=ROOT.parent / "target/debug/sealdav")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    events = [Event(draw, number) for number in range(options.events)]
    texts = [(event.uid, event.text()) for event in events]
    with tempfile.TemporaryDirectory() as logs:
        server = Sealdav(Path(logs), options.server.resolve(), plain=True)
        try:
            server.start()
            mine = ours(server, texts)
        finally:
            server.stop()
            server.remove()
    other = theirs(texts)
    tally, shown = collections.Counter(), 0
    for uid, text in texts:
        ours_only = {entry for entry in mine - other if entry[0] == uid}
        theirs_only = {entry for entry in other - mine if entry[0] == uid}
        if not ours_only and not theirs_only:
            tally["same"] += 1
            continue
        kinds = [name for name, test in EXPLAINED if test(text, ours_only, theirs_only)]
        tally[kinds[0] if kinds else "unexplained"] += 1
        if not kinds and shown < options.show:
            shown += 1
            print(text.replace("\r\n", "\n"))
            print("  ours  ", sorted(ours_only)[:6])
            print("  theirs", sorted(theirs_only)[:6])
    print(f"seed {options.seed}, events {len(events)}, instances {len(mine)}:", dict(tally))
    return 1 if tally["unexplained"] else 0


if __name__ == "__main__":
    sys.exit(main())
