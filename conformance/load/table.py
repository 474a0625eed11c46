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
    """The whole table."""
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
    return f"{text}\n\n{limits(result, own)}"


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
    load = " to ".join(f"{one:.1f}" for one in result["load_average"])
    lines.append(f"{result['machine']['cores']} cores ({result['machine']['model']}), load average {load}.")
    return "\n".join(lines)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(markdown(json.load(file)))
