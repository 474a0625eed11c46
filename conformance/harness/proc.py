"""Subprocesses with a time limit, a clean environment and an end by pid."""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Seconds a command may take unless its suite says otherwise.
COMMAND_TIMEOUT = 120


@dataclass
class Output:
    """What a finished command left behind."""

    code: int
    out: str
    err: str

    @property
    def both(self) -> str:
        """Standard output and standard error together."""
        return self.out + self.err


class CommandFailed(Exception):
    """A command ended with another status than 0, or not in time."""


def environment(home: Path, **extra: str) -> dict[str, str]:
    """An environment that holds nothing of the caller's but the search path."""
    kept = {key: os.environ[key] for key in ("PATH", "TMPDIR") if key in os.environ}
    return {**kept, "HOME": str(home), "LANG": "C.UTF-8", "TZ": "UTC", "NO_PROXY": "*", "no_proxy": "*", **extra}


def run(
    command: list[str],
    *,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | bytes = b"",
    timeout: float = COMMAND_TIMEOUT,
    log: Path | None = None,
    check: bool = True,
) -> Output:
    """Run a command to its end; its whole process group is ended when the time is up.

    Raises CommandFailed on another status than 0 (if `check`) and on a timeout.
    """
    data = stdin.encode() if isinstance(stdin, str) else stdin
    process = subprocess.Popen(
        command,
        env=env,
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(data, timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        write_log(log, command, "timeout", out, err)
        raise CommandFailed(f"{Path(command[0]).name} did not end within {timeout:.0f} s") from None
    write_log(log, command, str(process.returncode), out, err)
    output = Output(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))
    if check and output.code != 0:
        tail = output.both.strip()[-400:]
        raise CommandFailed(f"{Path(command[0]).name} ended with status {output.code}: {tail}")
    return output


def write_log(log: Path | None, command: list[str], status: str, out: bytes, err: bytes) -> None:
    """Append a command and what it printed to a suite's log."""
    if log is None:
        return
    with log.open("ab") as file:
        file.write(f"$ {' '.join(command)}\n".encode())
        file.write(out + err + f"-> {status}\n\n".encode())
