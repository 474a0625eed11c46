#!/usr/bin/env python3
"""Compares the server's CALDAV:expand with khal's agenda of a year, on random recurring events.

    conformance/run --only khal            # once: makes conformance/.work/venv; also runs this with few events
    cargo build
    conformance/.work/venv/bin/python conformance/recurrence/khal_agenda.py [--events 500] [--seed 1]

The events are those of agenda.py, stored in a server of the script's own and in a folder that khal reads.
`khal list` gives UID, start and end of all that it shows in the year. Differences that are explained are of a
class in EXPLAINED and described in differences.md; the status is 1 if any other is there.
"""

import argparse
import collections
import random
import re
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

sys.dont_write_bytecode = True

import icalendar
from agenda import LOCAL, ROOT, YEAR, Event, end_of, ours, stamp
from harness.servers import Sealdav

FORM = "%Y-%m-%d %H:%M"
HOUR = timedelta(hours=1)
# Everything in UTC: floating times then read as they are written.
CONFIG = """
[calendars]
[[agenda]]
path = {folder}/items
type = calendar
[sqlite]
path = {folder}/khal.db
[locale]
timeformat = %H:%M
dateformat = %Y-%m-%d
longdateformat = %Y-%m-%d
datetimeformat = %Y-%m-%d %H:%M
longdatetimeformat = %Y-%m-%d %H:%M
default_timezone = UTC
local_timezone = UTC
[default]
default_calendar = agenda
"""
Entry = tuple[str, str, str]


def without_periods(text: str) -> str:
    """khal knows no RDATE with a period: both are given its start alone."""
    return re.sub(r"^(RDATE[^:]*);VALUE=PERIOD([^:]*):([0-9TZ]+)/.*$", r"\1\2:\3", text, flags=re.M)


def theirs(folder: Path, events: list[Event], texts: list[tuple[str, str]]) -> set[Entry]:
    """khal's agenda."""
    (folder / "items").mkdir()
    for uid, text in texts:
        (folder / "items" / f"{uid}.ics").write_bytes(text.encode())
    config = folder / "khal.conf"
    config.write_text(CONFIG.format(folder=folder))
    khal = [str(Path(sys.executable).parent / "khal"), "--no-color", "--config", str(config)]
    shape = ["--day-format", "", "--format", "{uid}|{start-long}|{end-long}"]
    listing = subprocess.run(
        [*khal, "list", *shape, f"{YEAR}-01-01", f"{YEAR + 1}-01-01"],
        env={"HOME": str(folder), "LANG": "C.UTF-8", "TZ": "UTC"},
        capture_output=True,
        text=True,
        check=True,
    )
    zones = {event.uid: event.zone for event in events}
    return {entry(zones, *line.split("|")) for line in listing.stdout.splitlines() if line.count("|") == 2}


def entry(zones: dict[str, str | None], uid: str, start: str, end: str) -> Entry:
    """One line of khal's, as agenda.py writes instances; khal's last day is part of the event."""
    if zones[uid] == "date":
        last = datetime.strptime(end, FORM[:8]) + timedelta(days=1)
        return uid, start.replace("-", ""), f"{last:%Y%m%d}"
    zulu = "" if zones[uid] is None else "Z"
    return uid, *(f"{datetime.strptime(moment, FORM):{LOCAL}}{zulu}" for moment in (start, end))


def in_year(entries: set[Entry]) -> set[Entry]:
    """Those that touch the year: khal also lists what ends as it begins."""
    first, last = f"{YEAR}0101", f"{YEAR + 1}0101"
    return {(uid, start, end) for uid, start, end in entries if start[:8] < last and (start[:8] >= first or end > first + "T000000Z")}


def moment(text: str) -> datetime:
    """A time as agenda.py writes it; dates and floating times as if of UTC."""
    form = LOCAL[: 6 if len(text) == 8 else len(LOCAL)] + ("Z" if text.endswith("Z") else "")
    return datetime.strptime(text, form)


class Difference:
    """What differs of one object, and what of it is explained."""

    def __init__(self, zone: str | None, text: str, ours_only: set[Entry], theirs_only: set[Entry]):
        self.zone = ZoneInfo(zone) if zone and zone not in ("date", "UTC") else None
        self.components = icalendar.Calendar.from_ical(text).walk("VEVENT")
        self.ours, self.theirs = ours_only, theirs_only
        self.future = [one for one in self.components if self.range_of(one)]

    @staticmethod
    def range_of(component) -> bool:
        """Whether it changes all future instances."""
        identity = component.get("RECURRENCE-ID")
        return identity is not None and identity.params.get("RANGE") == "THISANDFUTURE"

    def classes(self) -> list[str] | None:
        """The classes that explain it together; none if something is left."""
        found = []
        for name, explains in EXPLAINED:
            before = len(self.ours) + len(self.theirs)
            explains(self)
            if len(self.ours) + len(self.theirs) < before:
                found.append(name)
        return found if not self.ours and not self.theirs else None

    def reading(self, text: str) -> datetime:
        """The clock's reading in the zone."""
        return moment(text).replace(tzinfo=timezone.utc).astimezone(self.zone).replace(tzinfo=None)

    def written(self, text: str) -> set[datetime]:
        """The readings that mean the instant: also the one that the clock skips (RFC 5545 section 3.3.5)."""
        shown = self.reading(text)
        instant = moment(text).replace(tzinfo=timezone.utc)
        skipped = shown - HOUR
        meant = skipped.replace(tzinfo=self.zone).astimezone(timezone.utc)
        return {shown, skipped} if meant == instant else {shown}

    def drop_pairs(self, same) -> None:
        """Forget pairs of ours and theirs of which `same` holds."""
        by_day = collections.defaultdict(list)
        for other in sorted(self.theirs):
            by_day[other[1][:8]].append(other)
        for one in sorted(self.ours):
            day = moment(one[1])
            near = [f"{day + timedelta(days=days):%Y%m%d}" for days in (-1, 0, 1)]
            found = next((other for name in near for other in by_day[name] if same(one, other)), None)
            if found:
                by_day[found[1][:8]].remove(found)
                self.ours.discard(one)
                self.theirs.discard(found)


def exactly(moment):
    """A time with a zone in UTC, where differences are exact; others as they are."""
    return moment.astimezone(timezone.utc) if getattr(moment, "tzinfo", None) else moment


def length(component) -> timedelta:
    """How long khal takes a component to last."""
    if "DTEND" in component or "DURATION" in component or not isinstance(component["DTSTART"].dt, datetime):
        start = component["DTSTART"].dt
        return end_of(component) - start if "DURATION" not in component else component["DURATION"].dt
    return HOUR


def no_end(difference: Difference) -> None:
    """K1: without DTEND and DURATION khal takes an hour, where there is none."""
    if all("DTEND" in one or "DURATION" in one for one in difference.components):
        return

    def an_hour(entry: Entry) -> bool:
        return moment(entry[2]) - moment(entry[1]) == HOUR

    difference.drop_pairs(lambda one, other: one[1] == one[2] == other[1] and an_hour(other))
    # one that begins within the hour before the year touches it only for khal
    difference.theirs -= {entry for entry in difference.theirs if entry[1] < f"{YEAR}0101" and an_hour(entry)}


def whole_days(difference: Difference) -> None:
    """K2: a DURATION of days over a change of the clock is 24 hours a day for khal."""
    if difference.zone is None:
        return
    days = {one["DURATION"].dt for one in difference.components if "DURATION" in one and not one["DURATION"].dt.seconds}

    def nominal(one: Entry) -> set[timedelta]:
        return {end - start for end in difference.written(one[2]) for start in difference.written(one[1])}

    def same(one: Entry, other: Entry) -> bool:
        return one[1] == other[1] and bool(nominal(one) & days) and moment(other[2]) - moment(other[1]) in days

    difference.drop_pairs(same)


def second_reading(difference: Difference) -> None:
    """K3: khal takes the second of two instants with the same reading of the clock; here it is the first."""
    if difference.zone is None:
        return

    def twice(first: str, second: str) -> bool:
        return first < second and difference.reading(first) == difference.reading(second)

    def same(one: Entry, other: Entry) -> bool:
        begins_twice = twice(one[1], other[1])
        lengths = [moment(entry[2]) - moment(entry[1]) for entry in (one, other)]
        lasts_as_long = lengths[0] == lengths[1] or lengths == [timedelta(), HOUR]  # or K1 as well
        ends_twice = twice(one[2], other[2])
        return begins_twice and (lasts_as_long or ends_twice or one[2] == other[2]) or (one[1] == other[1] and ends_twice)

    difference.drop_pairs(same)


def later_override(difference: Difference) -> None:
    """K4: a change of all future instances replaces later overrides of single ones, for khal."""
    for future in difference.future:
        identity = future["RECURRENCE-ID"].dt
        shift = exactly(future["DTSTART"].dt) - exactly(identity)
        for one in difference.components:
            if "RECURRENCE-ID" not in one or one in difference.future or one["RECURRENCE-ID"].dt < identity:
                continue
            start = exactly(one["RECURRENCE-ID"].dt) + shift
            uid = str(one["UID"])
            difference.ours.discard((uid, stamp(one["DTSTART"].dt), stamp(end_of(one))))
            difference.theirs.discard((uid, stamp(start), stamp(start + length(future))))


def clock_shift(difference: Difference) -> None:
    """K5: a change of all future instances moves each by the same seconds, for khal, and not by the same
    difference on the clock, which is another where the clock changes in between."""
    if difference.zone is None:
        return
    for future in difference.future:
        identity, start = future["RECURRENCE-ID"].dt, future["DTSTART"].dt
        on_clock = start.replace(tzinfo=None) - identity.replace(tzinfo=None)
        exact = exactly(start) - exactly(identity)

        def same(one: Entry, other: Entry) -> bool:
            moved = moment(other[1]) - exact
            place = difference.reading(f"{moved:{LOCAL}}Z") + on_clock
            return place in difference.written(one[1]) and moment(other[2]) - moment(other[1]) == length(future)

        difference.drop_pairs(same)


# Name in differences.md and what it explains of a difference.
EXPLAINED = [("K1", no_end), ("K2", whole_days), ("K3", second_reading), ("K4", later_override), ("K5", clock_shift)]


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
    texts = [(event.uid, without_periods(event.text())) for event in events]
    with tempfile.TemporaryDirectory() as folder:
        server = Sealdav(Path(folder), options.server.resolve(), plain=True)
        try:
            server.start()
            mine = in_year(ours(server, texts))
        finally:
            server.stop()
            server.remove()
        other = in_year(theirs(Path(folder), events, texts))
    tally, shown = collections.Counter(), 0
    for event, (uid, text) in zip(events, texts):
        both = [{entry for entry in found if entry[0] == uid} for found in (mine - other, other - mine)]
        if both == [set(), set()]:
            tally["same"] += 1
            continue
        difference = Difference(event.zone, text, *both)
        classes = difference.classes()
        tally["+".join(classes) if classes else "unexplained"] += 1
        if not classes and shown < options.show:
            shown += 1
            print(text.replace("\r\n", "\n"))
            print("  ours  ", sorted(difference.ours)[:6])
            print("  theirs", sorted(difference.theirs)[:6])
    print(f"seed {options.seed}, events {len(events)}, instances {len(mine)}:", dict(tally))
    return 1 if tally["unexplained"] else 0


if __name__ == "__main__":
    sys.exit(main())
