#!/usr/bin/env python3
"""A deterministic generator of varied calendar events.

The same seed gives the same bytes on every machine, so that what a server
gives back can be compared byte for byte. The events are valid (RFC 5545) and
contain what breaks servers: recurrence with overrides and exclusions, all-day
events, attendees, own VTIMEZONEs, alarms, inline attachments, unusual
properties, text in several scripts, long lines folded in the middle of
nothing, sizes from 1 KB to 200 KB.

    python3 events.py DIRECTORY [COUNT] [SEED]
"""

import base64
import random
import sys
from datetime import date, datetime, timedelta
from pathlib import Path

DEFAULT_COUNT = 1000
DEFAULT_SEED = 4791
# Octets, without the line break, after which a content line is folded (RFC 5545 section 3.1).
FOLD_AT = 75

WORDS = (
    "Besprechung Zahnarzt Überprüfung déjeuner réunion café naïve Ångström smörgåsbord żółć příliš žluťoučký "
    "Встреча обед Ελληνικά συνάντηση 会議 打ち合わせ 회의 اجتماع פגישה नमस्ते สวัสดี 🎉 👩‍👩‍👧‍👦 🇪🇺 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 meeting review planning lunch "
    'release, semi;colon back\\slash "quoted" new\nline tab\ttab e\u0301 ﬁ ﷺ \u200fRTL\u200e zero\u200dwidth'
).split(" ")

TIMEZONE = """BEGIN:VTIMEZONE
TZID:{tzid}
BEGIN:DAYLIGHT
TZOFFSETFROM:{standard}
TZOFFSETTO:{daylight}
TZNAME:DST
DTSTART:19810329T020000
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
BEGIN:STANDARD
TZOFFSETFROM:{daylight}
TZOFFSETTO:{standard}
TZNAME:STD
DTSTART:19961027T030000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
END:VTIMEZONE"""

ZONES = [
    ("Europe/Berlin", "+0100", "+0200"),
    ("America/New_York", "-0500", "-0400"),
    ("Custom Zone 1", "+0545", "+0645"),
    ("/freeassociation.sourceforge.net/Europe/Helsinki", "+0200", "+0300"),
]

RULES = [
    "FREQ=DAILY;COUNT=10",
    "FREQ=WEEKLY;BYDAY=MO,WE,FR;COUNT=20",
    "FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=TU",
    "FREQ=MONTHLY;BYDAY=-1FR",
    "FREQ=MONTHLY;BYMONTHDAY=31",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;COUNT=12",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
    "FREQ=YEARLY",
    "FREQ=DAILY;UNTIL=20301231T235959Z",
]


def main() -> None:
    """Write COUNT events as UID.ics into DIRECTORY."""
    directory = Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else DEFAULT_COUNT
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else DEFAULT_SEED
    directory.mkdir(parents=True, exist_ok=True)
    for uid, body in generate(count, seed):
        (directory / f"{uid}.ics").write_bytes(body)


def generate(count: int = DEFAULT_COUNT, seed: int = DEFAULT_SEED) -> list[tuple[str, bytes]]:
    """`count` events as (UID, bytes), sizes from about 1 KB to 200 KB."""
    return [event(random.Random(f"{seed}/{number}"), number) for number in range(count)]


def event(rng: random.Random, number: int) -> tuple[str, bytes]:
    """One event. Every tenth is large, every fifty-third nearly 200 KB."""
    uid = f"{number:05d}-{rng.getrandbits(64):016x}@events.example.test"
    zone = rng.choice(ZONES) if rng.random() < 0.5 else None
    all_day = zone is None and rng.random() < 0.3
    start = datetime(2020, 1, 1) + timedelta(minutes=15 * rng.randrange(4 * 24 * 365 * 10))
    recurring = rng.random() < 0.4
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//sealdav//conformance events//EN", "CALSCALE:GREGORIAN"]
    if zone:
        lines += TIMEZONE.format(tzid=zone[0], standard=zone[1], daylight=zone[2]).split("\n")
    rule = rng.choice(RULES)
    if all_day:
        rule = rule.replace("T235959Z", "")
    body = common(rng, uid) + times(start, zone, all_day, rng)
    if recurring:
        body.append(f"RRULE:{rule}")
        if rng.random() < 0.3:
            body.append(moment("EXDATE", start + timedelta(days=7), zone, all_day))
        if rng.random() < 0.2:
            body.append(moment("RDATE", start + timedelta(days=3), zone, all_day))
    body += attendees(rng) + attachments(rng, number) + alarms(rng, all_day)
    lines += ["BEGIN:VEVENT", *body, "END:VEVENT"]
    if recurring and rng.random() < 0.5:
        original = moment("RECURRENCE-ID", start, zone, all_day)
        moved = common(rng, uid) + [original] + times(start + timedelta(days=1), zone, all_day, rng)
        lines += ["BEGIN:VEVENT", *moved, "END:VEVENT"]
    lines.append("END:VCALENDAR")
    return uid, b"".join(fold(line) for line in lines)


def common(rng: random.Random, uid: str) -> list[str]:
    """The properties that every component has."""
    lines = [
        f"UID:{uid}",
        f"DTSTAMP:20250101T{rng.randrange(24):02d}0000Z",
        f"SUMMARY:{text(rng, rng.randrange(1, 9))}",
        f"DESCRIPTION:{text(rng, rng.randrange(60, 200))}",
    ]
    options = [
        f"LOCATION;LANGUAGE=de:{text(rng, 3)}",
        f"CATEGORIES:{text(rng, 1)},{text(rng, 1)}",
        "CLASS:" + rng.choice(["PUBLIC", "PRIVATE", "CONFIDENTIAL"]),
        "STATUS:" + rng.choice(["TENTATIVE", "CONFIRMED", "CANCELLED"]),
        "TRANSP:" + rng.choice(["OPAQUE", "TRANSPARENT"]),
        f"PRIORITY:{rng.randrange(10)}",
        f"SEQUENCE:{rng.randrange(5)}",
        "GEO:52.5163;13.3777",
        "URL:https://example.test/path?query=1;2&three#fragment",
        f"COLOR:{rng.choice(['turquoise', 'mediumseagreen'])}",
        f'X-CUSTOM;X-PARAM="a:b;c,d";X-OTHER=plain:{text(rng, 4)}',
        'X-APPLE-STRUCTURED-LOCATION;VALUE=URI;X-ADDRESS="Street 1\\nCity";X-TITLE="^n^^^\'":geo:52.5,13.4',
    ]
    return lines + [option for option in options if rng.random() < 0.4]


def text(rng: random.Random, words: int) -> str:
    """Escaped TEXT of some words."""
    raw = " ".join(rng.choice(WORDS) for _ in range(words))
    return raw.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")


def times(start: datetime, zone, all_day: bool, rng: random.Random) -> list[str]:
    """DTSTART with DTEND or DURATION."""
    if all_day:
        return [moment("DTSTART", start, zone, True), moment("DTEND", start + timedelta(days=1), zone, True)]
    if rng.random() < 0.3:
        return [moment("DTSTART", start, zone, False), "DURATION:" + rng.choice(["PT1H", "PT45M", "P1D", "P1W"])]
    return [moment("DTSTART", start, zone, False), moment("DTEND", start + timedelta(minutes=45), zone, False)]


def moment(name: str, at: datetime | date, zone, all_day: bool) -> str:
    """A date property in the event's own form."""
    if all_day:
        return f"{name};VALUE=DATE:{at:%Y%m%d}"
    if zone:
        return f"{name};TZID={zone[0]}:{at:%Y%m%dT%H%M%S}"
    return f"{name}:{at:%Y%m%dT%H%M%SZ}"


def attendees(rng: random.Random) -> list[str]:
    """An organizer and attendees for some events, at addresses of no account on the server."""
    if rng.random() < 0.7:
        return []
    lines = ['ORGANIZER;CN="Organizer, Some":mailto:organizer@elsewhere.example']
    for number in range(rng.choice([1, 2, 5, 40])):
        status = rng.choice(["NEEDS-ACTION", "ACCEPTED", "DECLINED", "TENTATIVE"])
        lines.append(
            f'ATTENDEE;CN="Gäst {number}";ROLE=REQ-PARTICIPANT;PARTSTAT={status};RSVP=TRUE:'
            f"mailto:guest{number}@elsewhere.example"
        )
    return lines


def attachments(rng: random.Random, number: int) -> list[str]:
    """Inline attachments, which make the sizes."""
    if number % 53 == 0:
        size = rng.randrange(135_000, 145_000)
    elif number % 10 == 0:
        size = rng.randrange(5_000, 60_000)
    elif rng.random() < 0.1:
        return ["ATTACH;FMTTYPE=application/pdf:https://example.test/agenda.pdf"]
    else:
        return []
    data = base64.b64encode(rng.randbytes(size)).decode()
    return [f"ATTACH;FMTTYPE=application/octet-stream;ENCODING=BASE64;VALUE=BINARY:{data}"]


def alarms(rng: random.Random, all_day: bool) -> list[str]:
    """Alarms, some relative to the end."""
    lines: list[str] = []
    for _ in range(rng.choice([0, 0, 1, 2])):
        trigger = rng.choice(["TRIGGER:-PT15M", "TRIGGER;RELATED=END:PT5M", "TRIGGER:-P1D"])
        if all_day:
            trigger = "TRIGGER:PT9H"
        lines += ["BEGIN:VALARM", "ACTION:DISPLAY", f"DESCRIPTION:{text(rng, 2)}", trigger, "END:VALARM"]
    return lines


def fold(line: str) -> bytes:
    """A content line in octets with CRLF, folded between characters (RFC 5545 section 3.1)."""
    folded, width = bytearray(), 0
    for character in line:
        octets = character.encode()
        if width + len(octets) > FOLD_AT:
            folded += b"\r\n "
            width = 1
        folded += octets
        width += len(octets)
    return bytes(folded + b"\r\n")


if __name__ == "__main__":
    main()
