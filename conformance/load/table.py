#!/usr/bin/env python3
"""The table of a run: this server's figures, the best peer's, and how far each goal is.

    conformance/load/table.py results/FILE.json
"""

import json
import statistics
import sys

# What the field's best did on the machine on which the goals were set, where a bare hyper server did
# BARE_THEN requests a second: (workload, what it is, connections, peer, its figure, goal as a multiple)
BARE_THEN = 130_000
GOALS = [
    ("get", "GET one object", 8, "RustiCal", 3_700, 10),
    ("poll", "poll (PROPFIND Depth 0: ctag, sync-token)", 8, "RustiCal", 4_100, 10),
    ("home", "poll of a home with 10 calendars (Depth 1)", 8, "RustiCal", 3_200, 8),
    ("delta", "sync-collection after 10 changes", 8, "RustiCal", 2_300, 10),
    ("list", "PROPFIND Depth 1 getetag", 2, "Cyrus", 24, 8),
    ("sync", "sync-collection from nothing", 2, "Cyrus", 23, 8),
    ("multiget", "calendar-multiget of 50", 8, "RustiCal", 510, 5),
    ("query", "calendar-query of a month with data", 2, "RustiCal", 23, 20),
    ("expand", "the same with expand", 2, "Cyrus", 6.8, 50),
    ("busy", "free-busy-query of a month", 2, "Cyrus", 13, 50),
    ("put", "PUT new, durable", 8, "RustiCal", 1_100, 4),
    ("put-64", "PUT new, durable", 64, "RustiCal", 1_100, 10),
    ("over", "PUT over an existing one", 8, "RustiCal", 1_000, 4),
    ("over-64", "PUT over an existing one", 64, "RustiCal", 1_000, 4),
    ("delete", "DELETE", 8, "RustiCal", 1_200, 4),
]


def median(figures: list[dict | None]) -> float | None:
    """The median rate; none if an answer was wrong or there is none."""
    rates = [one["rate"] for one in figures if one]
    return statistics.median(rates) if rates and len(rates) == len(figures) else None


def number(value: float | None) -> str:
    """As people write it."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def markdown(result: dict) -> str:
    """All tables of what was run."""
    parts = [rates(result)] if result["servers"] else []
    parts += [told(result[name]) for name, told in STANDING.items() if name in result]
    faults = [f"{name}: {one}" for name, all_of in result["faults"].items() for one in all_of]
    return "\n\n".join([*parts, machine(result), *faults])


def rates(result: dict) -> str:
    """Answers a second."""
    servers = list(result["servers"])
    own = servers[0]
    others = servers[1:]
    bare = median(result["limits"].get("bare", []))
    scale = bare / BARE_THEN if bare else None
    head = ["workload", "connections", own, *others, "best peer", "goal", "reached"]
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for key, what, connections, peer, then, times in GOALS:
        figures = {name: median(result["servers"][name]["figures"].get(key, [])) for name in servers}
        if key not in result["servers"][own]["figures"]:
            continue
        best = max(((rate, name) for name, rate in figures.items() if rate and not name.startswith("sealdav")), default=None)
        scaled = then * scale if scale else None
        if scaled and (best is None or scaled > best[0]):
            best = (scaled, f"{peer} (scaled)")
        goal = best[0] * times if best else None
        reached = figures[own] / goal if goal and figures[own] else None
        cells = [what, str(connections), *(number(figures[name]) for name in servers)]
        cells += [f"{best[1]} {number(best[0])}" if best else "–", f"{times} × = {number(goal)}"]
        lines.append(" | ".join([*cells, f"{reached:.0%}" if reached else "–"]))
    text = "\n".join(f"| {line} |" for line in lines)
    return f"{text}\n\n{starts(result)}\n\n{limits(result, own)}"


def starts(result: dict) -> str:
    """Of all servers, with the objects of the run."""
    lines = [[f"start with {result['objects']:,} objects", "listens", "any answer", "poll", "GET"]]
    for name, server in result["servers"].items():
        found = server.get("start")
        whats = ("listens", "answers", "poll", "get") if found else ()
        cells = [f"{statistics.median(one[what] for one in found):,.0f} ms" for what in whats]
        lines += [[name, *cells]] if cells else []
    return lined(lines)


def limits(result: dict, own: str) -> str:
    """What the machine itself did in the run, and what of it this server reached."""
    found = {name: median(figures) for name, figures in result["limits"].items()}
    figures = {key: median(all_of) for key, all_of in result["servers"][own]["figures"].items()}
    lines = []
    if found.get("bare"):
        share = f"; GET is {figures['get'] / found['bare']:.0%} of it" if figures.get("get") else ""
        lines.append(f"Bare hyper server: {number(found['bare'])}/s{share}.")
    for group, key in ((8, "put"), (64, "put-64")):
        if found.get(f"disk-{group}"):
            share = f"; PUT new is {figures[key] / found[f'disk-{group}']:.0%} of it" if figures.get(key) else ""
            lines.append(f"Appends of 4 KB, {group} to an fdatasync: {number(found[f'disk-{group}'])}/s{share}.")
    return "\n".join(lines)


def machine(result: dict) -> str:
    """On what, and how busy it was."""
    load = " to ".join(f"{one:.1f}" for one in result["load_average"])
    return f"{result['machine']['cores']} cores ({result['machine']['model']}), load average {load}, {result['when']}."


def lined(lines: list[list[str]]) -> str:
    """A table, its first line being the head."""
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def start(result: dict) -> str:
    """Milliseconds from the start of the process."""
    head = ["start with " + f"{result['objects']:,} objects", "listens", "any answer", "poll", "GET, goal 150 ms", "most"]
    lines = [head]
    names = {"filled": f"when all {result['written'] / 1e6:,.0f} MB were written since the last start"}
    names |= {"clean": "after a clean stop", "killed": "after kill -9", "compacted": "compacted", "password": "with the account's password"}
    for kind, name in names.items():
        cells = [name]
        for what in ("listens", "answers", "poll", "get"):
            cells.append(f"{statistics.median(one[what] for one in result[kind]):.0f} ms")
        lines.append([*cells, f"{max(one['get'] for one in result[kind]):.0f} ms"])
    return lined(lines)


def disk(result: dict) -> str:
    """Bytes for each object."""
    objects, rows = result["objects"], result["rows"]
    lines = [["for each of " + f"{objects:,} events of {result['event']:,} bytes", "bytes, goal 3,000"]]
    lines.append(["the database after the PUTs", f"{result['put']['bytes'] / objects:,.0f}"])
    lines.append(["compacted", f"{result['compacted']['bytes'] / objects:,.0f}"])
    many = [(length, count) for length, count in rows["lengths"] if count > objects / 100]
    for length, count in many:
        lines.append([f"of it values of {length:,} bytes", f"{length * count / objects:,.0f} ({count / objects:.2f} each)"])
    few = sum(length * count for length, count in rows["lengths"] if count <= objects / 100)
    lines.append(["of it all other values", f"{few / objects:,.0f}"])
    lines.append(["of it names of rows", f"{rows['names'] / objects:,.0f}"])
    values = sum(length * count for length, count in rows["lengths"])
    rest = result["compacted"]["bytes"] - values - rows["names"]
    lines.append(["of it the database's own", f"{rest / objects:,.0f}"])
    return lined(lines)


def memory(result: dict) -> str:
    """Resident MB."""
    lines = [[f"{result['users']} users with {result['objects']:,} events each", "resident, goal 250 MB", "most", "answers a second", "processor"]]
    lines.append(["after the PUTs", *mb(result["after_filling"]), "–", "–"])
    lines.append(["started again", *mb(result["started"]), "–", "–"])
    for one in result["course"]:
        took = f"{one['processor_ms']:.2f} ms each" if "processor_ms" in one else "–"
        lines.append(["all active", *mb(one), f"{one['rate']:,.0f}", took])
    lines.append(["10 s later", *mb(result["quiet"]), "–", "–"])
    return lined(lines)


def mb(sizes: dict) -> list[str]:
    return [f"{sizes['now']:.0f} MB", f"{sizes['most']:.0f} MB"]


def accounts(result: dict) -> str:
    """Growth by accounts."""
    lines = [["accounts", "GET/s", "poll/s", "PUT/s", "processor for each", "resident", "start to first GET", "to make one"]]
    known = 0
    for size in result["sizes"]:
        each = size["made"] / (size["accounts"] - known)
        known = size["accounts"]
        figures = [f"{size['figures'][name]:,.0f}" for name in ("get", "poll", "put")]
        took = ", ".join(f"{size['processor_ms'][name]:.2f}" for name in ("get", "poll", "put"))
        lines.append([f"{known:,}", *figures, f"{took} ms", mb(size["memory"])[0], f"{size['start']['get']:.0f} ms", f"{each:.2f} s"])
    return lined(lines)


def tls(result: dict) -> str:
    """GETs over TLS."""
    return lined([["GET, 8 connections", "a second"], *([name, f"{rate:,.0f}"] for name, rate in result.items())])


STANDING = {"tls": tls, "start": start, "disk": disk, "memory": memory, "accounts": accounts}


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(markdown(json.load(file)))
