"""What a suite is given."""

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from harness import proc, terminal
from harness.dav import Account, Dav
from harness.install import Installer
from harness.results import SuiteResults
from harness.servers import Server


@dataclass
class Context:
    """A suite's server, its tools, a folder of its own and the place for its results."""

    server: Server
    installer: Installer
    folder: Path
    results: SuiteResults
    root: Path
    accounts: dict[str, Account] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """The file that commands and their output are appended to."""
        return self.folder / "commands.log"

    def check(self, name: str):
        """A `with` block that is one test."""
        return self.results.check(name)

    def account(self, suffix: str = "") -> Account:
        """A user that belongs to this suite alone, made on first use."""
        name = self.results.suite.replace("-", "") + suffix
        if name not in self.accounts:
            self.accounts[name] = self.server.add_account(name)
        return self.accounts[name]

    def dav(self, account: Account) -> Dav:
        """A connection of an account."""
        return self.server.dav(account)

    def tool(self, name: str) -> str:
        """The path of a program from the Python packages, or from the search path."""
        installed = self.installer.venv / "bin" / name
        return str(installed) if installed.exists() else shutil.which(name) or name

    def run(self, *command: str, env: dict[str, str] | None = None, **options) -> proc.Output:
        """Run a command in the suite's folder and log it. See `proc.run`."""
        environment = proc.environment(self.folder, **(env or {}))
        options.setdefault("cwd", self.folder)
        return proc.run(list(command), env=environment, log=self.log, **options)

    def talk(self, command: list[str], answers: list[tuple[re.Pattern[bytes], list[str]]]) -> str:
        """Run a command that wants a terminal. See `terminal.talk`."""
        return terminal.talk(command, answers, proc.environment(self.folder, TERM="dumb"), self.folder, self.log)
