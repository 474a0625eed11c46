#!/usr/bin/env python3
"""Compares the recurrence engine with python-dateutil on random rules.

    python3 -m venv conformance/.work/venv
    conformance/.work/venv/bin/pip install python-dateutil
    cargo build --release --example recur
    conformance/.work/venv/bin/python conformance/recurrence/differential.py [--rules 5000] [--seed 1]

conformance/differential installs what it needs and runs it with another seed each time.

Where dateutil reads RFC 5545 otherwise but can be told, it is told, so that these rules are still
compared. Every other difference is of a class in EXPLAINED or printed as unexplained; all of them
are described in differences.md with their RFC section. Exit status 1 if any is unexplained.
"""

import argparse
import collections
import datetime
import random
import signal
import subprocess
import sys
import warnings

from dateutil import rrule

warnings.simplefilter("ignore")
FORMAT = "%Y%m%dT%H%M%S"
FREQUENCIES = ["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"]
WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
# Seconds of processor time for one rule in dateutil, which steps through periods without instances.
PATIENCE = 0.5
# Instances compared of one rule.
MOST = 60


def numbers(draw, low, high, most, signed=False):
    """One to `most` numbers as a list part."""
    found = set()
    for _ in range(draw.randint(1, most)):
        number = draw.randint(low, high)
        if signed and draw.random() < 0.4:
            number = -number
        found.add(number)
    found = list(found)
    draw.shuffle(found)
    return ",".join(str(number) for number in found)


def by_day(draw, frequency):
    """A BYDAY list; numbers only where RFC 5545 allows them."""
    numbered = frequency in ("YEARLY", "MONTHLY") and draw.random() < 0.5
    days = draw.sample(WEEKDAYS, draw.randint(1, 4))
    plain = ["FR"] if numbered and draw.random() < 0.2 else []
    if numbered:
        most = 53 if frequency == "YEARLY" and draw.random() < 0.5 else 5
        days = [f"{draw.choice(['', '+', '-'])}{draw.randint(1, most)}{day}" for day in days]
    return ",".join(days + plain)


def random_rule(draw, only=None):
    """A rule as a dictionary of parts, and its DTSTART."""
    frequency = only or draw.choice(FREQUENCIES)
    year = draw.choice([1970, 1999, 2000, 2023, 2024, draw.randint(1900, 2090)])
    start = datetime.datetime(year, 1, 1) + datetime.timedelta(
        days=draw.randint(0, 364), seconds=draw.choice([0, 32400, 37800, draw.randint(0, 86399)])
    )
    parts = {"FREQ": frequency}
    if draw.random() < 0.6:
        most = {"YEARLY": 5, "MONTHLY": 14, "WEEKLY": 9, "DAILY": 40}.get(frequency, 200)
        parts["INTERVAL"] = str(draw.choice([1, 2, 3, 7, draw.randint(1, most)]))
    chance = draw.choice([0.08, 0.2, 0.35])
    if draw.random() < chance:
        parts["BYMONTH"] = numbers(draw, 1, 12, 4)
    if frequency == "YEARLY" and draw.random() < chance:
        parts["BYWEEKNO"] = numbers(draw, 1, 53, 3, True)
    if frequency in ("YEARLY", "HOURLY", "MINUTELY", "SECONDLY") and draw.random() < chance:
        parts["BYYEARDAY"] = numbers(draw, 1, 366, 6, True)
    if frequency != "WEEKLY" and draw.random() < chance:
        parts["BYMONTHDAY"] = numbers(draw, 1, 31, 6, True)
    if draw.random() < 1.5 * chance:
        parts["BYDAY"] = by_day(draw, frequency)
    if draw.random() < chance:
        parts["BYHOUR"] = numbers(draw, 0, 23, 4)
    if draw.random() < chance:
        parts["BYMINUTE"] = numbers(draw, 0, 59, 4)
    if draw.random() < chance:
        parts["BYSECOND"] = numbers(draw, 0, 59, 3)
    # D2 cannot be told to dateutil together with BYSETPOS.
    lengths = {len(day) > 2 for day in parts.get("BYDAY", "").split(",")}
    if any(name.startswith("BY") for name in parts) and len(lengths) == 1 and draw.random() < chance:
        parts["BYSETPOS"] = numbers(draw, 1, draw.choice([3, 12, 60]), 3, True)
    if draw.random() < 0.4:
        parts["WKST"] = draw.choice(WEEKDAYS)
    bound = draw.random()
    if bound < 0.25:
        parts["COUNT"] = str(draw.choice([1, 2, 5, 10, draw.randint(1, 200)]))
    elif bound < 0.5:
        until = start + datetime.timedelta(seconds=draw.choice([10**4, 10**6, 10**8]) * draw.random())
        parts["UNTIL"] = until.strftime(FORMAT)
    names = list(parts)
    if draw.random() < 0.5:
        draw.shuffle(names)
    return start, {name: parts[name] for name in names}


class Impatient(Exception):
    """dateutil looked at too many periods."""


def oracle(start, parts):
    """dateutil's instances without COUNT, in the reading that differences.md explains."""
    parts = {name: value for name, value in parts.items() if name != "COUNT"}
    # D1: BYWEEKNO alone means DTSTART's weekday.
    if "BYWEEKNO" in parts and not {"BYDAY", "BYMONTHDAY", "BYYEARDAY"} & set(parts):
        parts["BYDAY"] = WEEKDAYS[start.weekday()]
    # D2: days with and without numbers add up.
    days = parts.get("BYDAY", "").split(",")
    plain = [day for day in days if len(day) == 2]
    if plain and len(plain) < len(days):
        numbered = [day for day in days if len(day) > 2]
        both = [one_rule(start, parts | {"BYDAY": ",".join(some)}) for some in (plain, numbered)]
        merged = rrule.rruleset()
        for rule in both:
            if rule:
                merged.rrule(rule)
        return merged
    # D3: BYSETPOS counts from the beginning of the week, also in the first one.
    if parts["FREQ"] == "WEEKLY" and "BYSETPOS" in parts:
        own = {"BYDAY": WEEKDAYS[start.weekday()], "BYHOUR": str(start.hour),
               "BYMINUTE": str(start.minute), "BYSECOND": str(start.second)}
        into_week = (start.weekday() - WEEKDAYS.index(parts.get("WKST", "MO"))) % 7
        monday = datetime.datetime(start.year, start.month, start.day)
        rule = one_rule(monday - datetime.timedelta(days=into_week), own | parts)
        return (instance for instance in rule if instance >= start)
    return one_rule(start, parts)


def one_rule(start, parts):
    """dateutil's rule."""
    text = ";".join(f"{name}={value}" for name, value in parts.items())
    try:
        return rrule.rrulestr(text, dtstart=start)
    except ValueError as error:
        # It refuses hours, minutes and seconds that the interval never reaches.
        if "empty set" in str(error):
            return []
        raise


def give_up(_signal, _frame):
    """Called when the patience has run out."""
    raise Impatient


def expected(start, parts, after, most):
    """The starts from `after` on, at most `most`, as RFC 5545 counts: DTSTART is first."""
    count = int(parts["COUNT"]) if "COUNT" in parts else None
    found = []
    number = 0
    seen_start = False
    for instance in oracle(start, parts):
        if not seen_start:
            seen_start = True
            if instance != start:
                number += 1
                if start >= after:
                    found.append(start)
                if count is not None and number >= count:
                    return found, True
        number += 1
        if instance >= after:
            found.append(instance)
        if count is not None and number >= count:
            return found, True
        if len(found) >= most:
            return found, False
        if number > 20_000:
            raise Impatient
    if not seen_start and start >= after:
        found.append(start)
    return found, True


def in_weeks(parts, text):
    """Whether BYWEEKNO names the week of a day: the week's fourth day says its year and number."""
    day = datetime.datetime.strptime(text[:8], "%Y%m%d").date()
    week_start = WEEKDAYS.index(parts.get("WKST", "MO"))
    fourth = day + datetime.timedelta(days=3 - (day.weekday() - week_start) % 7)
    number = (fourth.timetuple().tm_yday - 1) // 7 + 1
    later = fourth
    while later.year == fourth.year:
        later += datetime.timedelta(days=7)
    last = ((later - datetime.timedelta(days=7)).timetuple().tm_yday - 1) // 7 + 1
    return {number, number - last - 1} & {int(week) for week in parts["BYWEEKNO"].split(",")}


def edge_weeks(parts, ours, theirs):
    """D4: all days that differ are at the edge of a year, and their week's number, found in
    another way, agrees with ours."""
    differing = set(ours) ^ set(theirs)
    return "BYWEEKNO" in parts and all(
        (day[4:8] >= "1226" or day[4:8] <= "0104") and bool(in_weeks(parts, day)) == (day in ours)
        for day in differing
    )


# Name in differences.md and the test whether a difference is of that class.
EXPLAINED = [("D4", edge_weeks)]


def ask(binary, questions):
    """The engine's answers."""
    text = "".join(f"{question}\n" for question in questions)
    answer = subprocess.run([binary], input=text, capture_output=True, text=True, check=True)
    return answer.stdout.splitlines()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rules", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--frequency", choices=FREQUENCIES, help="only rules with this FREQ")
    parser.add_argument("--show", type=int, default=10)
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds of processor time for a rule in dateutil")
    parser.add_argument("--binary", default="target/release/examples/recur")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    cases, impatient, failed = [], 0, 0
    signal.signal(signal.SIGVTALRM, give_up)
    while len(cases) < options.rules:
        start, parts = random_rule(draw, options.frequency)
        # Half of the questions begin later than DTSTART, so that jumps are tested as well.
        ahead = draw.choice([0, 0, 3600, 86400, 86400 * 40, 86400 * 500]) * draw.random()
        after = start + datetime.timedelta(seconds=int(ahead))
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, options.patience)
            found, complete = expected(start, parts, after, MOST)
        except Impatient:
            impatient += 1
            continue
        except IndexError:
            # D5: it fails on a numbered weekday that would be outside of the year.
            assert any(character.isdigit() for character in parts["BYDAY"])
            failed += 1
            continue
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if complete:
            end = max([datetime.datetime(2400, 1, 1), *(found[-1:] and [found[-1] + datetime.timedelta(seconds=1)])])
            if "COUNT" not in parts and "UNTIL" not in parts:
                end = datetime.datetime(9990, 1, 1)
        else:
            end = found[-1] + datetime.timedelta(seconds=1)
        rule = ";".join(f"{name}={value}" for name, value in parts.items())
        question = "|".join([start.strftime(FORMAT), rule, stamp(after), stamp(end)])
        cases.append((question, parts, [stamp(instance) for instance in found]))
    answers = ask(options.binary, [case[0] for case in cases])
    tally, shown, instances = collections.Counter(), 0, 0
    for (question, parts, theirs), answer in zip(cases, answers):
        ours = answer.split(",") if answer else []
        instances += len(theirs)
        if ours == theirs:
            tally["same"] += 1
            continue
        kinds = [name for name, test in EXPLAINED if test(parts, ours, theirs)]
        kind = kinds[0] if kinds else "unexplained"
        tally[kind] += 1
        if kind == "unexplained" and shown < options.show:
            shown += 1
            print(question)
            print("  ours  ", answer[:300])
            print("  theirs", ",".join(theirs)[:300])
    print(f"seed {options.seed}, rules {len(cases)}, instances {instances}:", dict(tally))
    print(f"dateutil gave up {impatient} more and failed on {failed}")
    sys.exit(1 if tally["unexplained"] or len(answers) != len(cases) else 0)


def stamp(moment):
    """A local time as iCalendar writes it, also before the year 1000."""
    return f"{moment.year:04}" + moment.strftime("%m%dT%H%M%S")


if __name__ == "__main__":
    main()
