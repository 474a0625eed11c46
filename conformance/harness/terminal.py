"""Talks to a program that insists on a terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path

from harness.proc import CommandFailed, write_log

# Seconds a whole conversation may take.
TALK_TIMEOUT = 60


def talk(
    command: list[str],
    answers: list[tuple[re.Pattern[bytes], list[str]]],
    env: dict[str, str],
    cwd: Path,
    log: Path,
) -> str:
    """Run a command on a new terminal and answer it; returns everything it printed.

    Whenever the output ends with one of the patterns, the next of its lines is
    sent. Raises CommandFailed if the program has not ended in time, or asks
    more than there are lines for.
    """
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command, env=env, cwd=cwd, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    left = [(pattern, list(lines)) for pattern, lines in answers]
    printed, seen = bytearray(), 0
    began = time.monotonic()
    try:
        while time.monotonic() - began < TALK_TIMEOUT:
            data = read_some(master)
            if data is None:
                break
            printed += data
            for pattern, lines in left:
                if pattern.search(printed, seen):
                    if not lines:
                        raise CommandFailed(f"{command[0]} asks too much: {bytes(printed[seen:])!r}")
                    seen = len(printed)
                    os.write(master, lines.pop(0).encode() + b"\n")
                    break
        else:
            raise CommandFailed(f"{command[0]} did not end within {TALK_TIMEOUT} s: {bytes(printed[-300:])!r}")
    finally:
        os.close(master)
        status = end(process)
        write_log(log, command, status, bytes(printed), b"")
    return printed.decode("utf-8", "replace").replace("\r\n", "\n")


def read_some(master: int) -> bytes | None:
    """What the program printed within a tenth of a second; None when it has gone."""
    if not select.select([master], [], [], 0.1)[0]:
        return b""
    try:
        return os.read(master, 4096) or None
    except OSError:  # Linux answers EIO when the last user of the terminal is gone
        return None


def end(process: subprocess.Popen) -> str:
    """Wait a moment for the process, or end its group; its status as a text."""
    try:
        return str(process.wait(5))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return f"killed, {process.wait()}"
