"""Installs what the suites need, below conformance/.work or with apt."""

import hashlib
import os
import shutil
import sys
import venv
from pathlib import Path

from harness import proc

# Seconds one installation step may take.
INSTALL_TIMEOUT = 540
# A program and the Debian package it comes from.
APT_PACKAGES = {"litmus": "litmus", "cadaver": "cadaver", "curl": "curl", "openssl": "openssl"}


class CannotInstall(Exception):
    """Something a suite needs could not be installed; the suite then counts as failed."""


class Installer:
    """Installs each thing once; `need` may be called as often as one likes."""

    def __init__(self, root: Path, work: Path):
        self.root = root
        self.work = work
        self.venv = work / "venv"
        self.npm = work / "npm"
        self.failures: dict[str, str] = {}
        self.done: set[str] = set()

    def need(self, what: str) -> None:
        """`what` is 'python', 'python-servers', 'npm' or a program of APT_PACKAGES. Raises CannotInstall."""
        if what in self.failures:
            raise CannotInstall(self.failures[what])
        if what in self.done:
            return
        try:
            self.install(what)
        except (proc.CommandFailed, OSError) as error:
            self.failures[what] = f"{what}: {error}"
            raise CannotInstall(self.failures[what]) from error
        self.done.add(what)

    def install(self, what: str) -> None:
        """One thing, without remembering how it went."""
        if what == "python":
            self.pip("requirements.txt")
        elif what == "python-servers":
            self.pip("requirements-servers.txt")
        elif what == "npm":
            self.node_packages()
        else:
            apt(what)

    def pip(self, file: str) -> None:
        """The pinned Python packages of a requirements file."""
        requirements = self.root / file
        stamp = self.work / f"{file}.installed"
        wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
        if stamp.exists() and stamp.read_text() == wanted and (self.venv / "bin" / "pip").exists():
            return
        if not (self.venv / "bin" / "pip").exists():
            venv.create(self.venv, with_pip=True)
        command = [str(self.venv / "bin" / "pip"), "install", "--quiet", "--requirement", str(requirements)]
        proc.run(command, timeout=INSTALL_TIMEOUT, log=self.work / "install.log")
        stamp.write_text(wanted)

    def node_packages(self) -> None:
        """The pinned npm packages."""
        manifest = self.root / "package.json"
        stamp = self.work / "package.json.installed"
        wanted = hashlib.sha256(manifest.read_bytes()).hexdigest()
        if stamp.exists() and stamp.read_text() == wanted:
            return
        if not shutil.which("npm"):
            raise OSError("Node.js with npm is not installed")
        self.npm.mkdir(parents=True, exist_ok=True)
        shutil.copy(manifest, self.npm / "package.json")
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        proc.run(command, cwd=self.npm, timeout=INSTALL_TIMEOUT, log=self.work / "install.log")
        stamp.write_text(wanted)


def apt(program: str) -> None:
    """A program from Debian's packages, if it is not there already."""
    if shutil.which(program):
        return
    if not shutil.which("apt-get"):
        raise OSError(f"{program} is not installed and there is no apt-get")
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    install = [*sudo, "apt-get", "install", "--yes", "--no-install-recommends", APT_PACKAGES[program]]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if proc.run(install, env=env, timeout=INSTALL_TIMEOUT, check=False).code != 0:
        proc.run([*sudo, "apt-get", "update"], env=env, timeout=INSTALL_TIMEOUT)
        proc.run(install, env=env, timeout=INSTALL_TIMEOUT)
