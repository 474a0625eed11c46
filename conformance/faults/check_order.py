#!/usr/bin/env python3
"""Checks the log of fsync_order.so: no answer before its write is on the disk.

    check_order.py order.log [--concurrent] [--least N]

For every 2xx answer to a request that writes (PUT, DELETE, MKCALENDAR, ...):

- without --concurrent, for one client that waits for each answer: at the answer no write to the
  database is unsynced, that is, each was begun before a sync that has since ended well;
- with --concurrent, where other requests' writes may be under way at any time: at least one sync
  began after the request was received and ended well before its answer.

Answers to requests that write nothing to the database (a PUT that changes nothing) pass without
--concurrent and are named with it, unless --allow-idle is given.

Exit status: 0 when all is well and at least N answers were checked (default 1), 1 when not.
"""

import argparse
import sys

WRITING = {"PUT", "POST", "DELETE", "PROPPATCH", "MKCOL", "MKCALENDAR", "COPY", "MOVE", "LOCK", "UNLOCK", "ACL", "PATCH"}


def check(lines, concurrent, allow_idle):
    """Returns (answers checked, faults found, what was seen)."""
    seen = {"write": 0, "sync-end": 0, "sync-dropped": 0, "answer": 0, "request": 0, "fault": 0}
    checked, faults = 0, []
    unsynced = []      # sequence numbers of writes that no ended sync covers
    beginnings = []    # sequence numbers of syncs under way
    syncs = []         # (began, ended) of those that ended well
    requests = {}      # socket -> (sequence number, method)
    before = 0
    for text in lines:
        words = text.split()
        if len(words) < 2:
            continue
        number, kind = int(words[0]), words[1]
        if number <= before:
            faults.append(f"line {number} after line {before}: two processes wrote this log, or it is damaged")
        before = number
        seen[kind] = seen.get(kind, 0) + 1
        if kind == "write":
            unsynced.append(number)
        elif kind == "sync-begin":
            beginnings.append(number)
        elif kind == "sync-end":
            # With several under way the log does not say which ended: the earliest covers least.
            began = beginnings.pop(0) if beginnings else number
            if words[2] == "0":
                syncs.append((began, number))
                unsynced = [write for write in unsynced if write > began]
        elif kind == "request":
            requests[words[2]] = (number, words[3])
        elif kind == "answer":
            received, method = requests.pop(words[2], (None, None))
            if method not in WRITING:
                continue
            checked += 1
            if not concurrent:
                if unsynced:
                    faults.append(f"answer {number} to {method}: {len(unsynced)} writes unsynced, the first is line {unsynced[0]}")
            elif not any(began > received for began, _ in reversed(syncs)) and not allow_idle:
                faults.append(f"answer {number} to {method}: no sync since its request in line {received}")
    return checked, faults, seen


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log")
    parser.add_argument("--concurrent", action="store_true")
    parser.add_argument("--allow-idle", action="store_true")
    parser.add_argument("--least", type=int, default=1)
    arguments = parser.parse_args()
    with open(arguments.log, encoding="ascii") as log:
        checked, faults, seen = check(log, arguments.concurrent, arguments.allow_idle)
    print(", ".join(f"{count} {kind}" for kind, count in seen.items()))
    for fault in faults[:20]:
        print("FAULT", fault)
    print(f"{checked} answers to writes checked, {len(faults)} faults")
    if checked < arguments.least:
        print(f"FAULT only {checked} answers, {arguments.least} wanted")
        return 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
