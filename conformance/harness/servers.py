"""The server under test, and others on which the suites themselves are tried out."""

import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

from harness import proc
from harness.dav import Account, Dav

# Seconds a server may take to answer after its start, and to end after SIGTERM.
START_TIMEOUT = 60
STOP_TIMEOUT = 30


class ServerFailed(Exception):
    """The server did not start, or did not do what the set-up asks of it."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One server process on 127.0.0.1; a subclass says how to start it and add accounts.

    The data lie in a temporary directory with a short path, since a Unix
    socket's path may have at most 107 bytes.
    """

    kind = "server"
    scheme = "https"

    def __init__(self, logs: Path):
        self.data = Path(tempfile.mkdtemp(prefix="sealdav-c-"))
        self.port = free_port()
        self.log = logs / f"{self.kind}.log"
        self.process: subprocess.Popen | None = None
        self.ca: Path | None = None
        self.started_in = 0.0

    @property
    def base(self) -> str:
        """Scheme and authority."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """The command line that starts the server."""
        raise NotImplementedError

    def add_account(self, name: str) -> Account:
        """Make a user with a calendar and a task list."""
        raise NotImplementedError

    def version(self) -> str:
        """What to call the server in the report."""
        return self.kind

    def dav(self, account: Account) -> Dav:
        """A connection of an account."""
        return Dav(account, self.ca)

    def start(self) -> None:
        """Start the process and wait until it answers."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                env=proc.environment(self.data),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while time.monotonic() - began < START_TIMEOUT:
            if self.process.poll() is not None:
                raise ServerFailed(f"{self.kind} ended with status {self.process.returncode}: {self.log_tail()}")
            if self.answers():
                self.started_in = time.monotonic() - began
                return
            time.sleep(0.05)
        raise ServerFailed(f"{self.kind} does not answer after {START_TIMEOUT} s: {self.log_tail()}")

    def answers(self) -> bool:
        """Whether a connection (with a TLS handshake, where there is TLS) succeeds."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as raw:
                if self.scheme == "http":
                    return True
                if self.ca is None or not self.ca.exists():
                    return False
                context = ssl.create_default_context(cafile=str(self.ca))
                with context.wrap_socket(raw, server_hostname="127.0.0.1"):
                    return True
        except (OSError, ssl.SSLError):
            return False

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> int:
        """End the process with SIGTERM; returns its status. Raises ServerFailed if it had to be killed."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise ServerFailed(f"{self.kind} did not end within {STOP_TIMEOUT} s of SIGTERM") from None

    def restart(self) -> None:
        """Stop and start on the same port and data."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Delete the data."""
        shutil.rmtree(self.data, ignore_errors=True)

    def log_size(self) -> int:
        """Bytes the log has now."""
        return self.log.stat().st_size if self.log.exists() else 0

    def panics_since(self, position: int) -> list[str]:
        """Lines about panics that were logged after `position`."""
        with self.log.open("rb") as log:
            log.seek(position)
            lines = log.read().decode("utf-8", "replace").splitlines()
        return [line for line in lines if "panicked at" in line]

    def log_tail(self) -> str:
        """The end of the log, for a failure's text."""
        return self.log.read_text("utf-8", "replace")[-600:] if self.log.exists() else ""


class Sealdav(Server):
    """The server this repository builds."""

    kind = "sealdav"

    def __init__(self, logs: Path, binary: Path, plain: bool = False):
        super().__init__(logs)
        self.binary = binary
        self.scheme = "http" if plain else "https"
        self.ca = None if plain else self.data / "data" / "tls" / "ca.pem"

    @property
    def store(self) -> Path:
        """The server's data directory; the server makes it itself."""
        return self.data / "data"

    def command(self) -> list[str]:
        plain = ["--plain-http"] if self.scheme == "http" else []
        listen = f"127.0.0.1:{self.port}"
        return [str(self.binary), "serve", "--data", str(self.store), "--listen", listen, *plain]

    def cli(self, *arguments: str, stdin: str = "", check: bool = True) -> proc.Output:
        """Run a subcommand on the server's data."""
        command = [str(self.binary), *arguments, "--data", str(self.store)]
        return proc.run(command, env=proc.environment(self.data), stdin=stdin, check=check)

    def add_account(self, name: str) -> Account:
        email = f"{name}@example.test"
        self.cli("user", "add", name, "--email", email, "--password-stdin", stdin=self.account_password(name) + "\n")
        return self.with_app_password(name, "conformance")

    def account_password(self, name: str) -> str:
        """The password of the account itself (the same for a name within one run)."""
        if not hasattr(self, "passwords"):
            self.passwords: dict[str, str] = {}
        return self.passwords.setdefault(name, secrets.token_urlsafe(24))

    def with_app_password(self, name: str, label: str) -> Account:
        """An account with a new app password."""
        command = ("app-password", "add", name, "--label", label, "--password-stdin", "--json")
        answer = json.loads(self.cli(*command, stdin=self.account_password(name) + "\n").out)
        return Account(
            name=answer["user"],
            email=f"{name}@example.test",
            password=answer["password"],
            base=self.base,
            principal=f"/dav/principals/{name}/",
            home=f"/dav/calendars/{name}/",
            calendar=f"/dav/calendars/{name}/calendar/",
            tasks=f"/dav/calendars/{name}/tasks/",
            plain_parent=f"/dav/calendars/{name}/",
        )

    def version(self) -> str:
        output = proc.run([str(self.binary), "--version"], env=proc.environment(self.data), check=False)
        return output.out.strip() or self.kind


def make_certificate(directory: Path) -> tuple[Path, Path, Path]:
    """A throw-away authority and a certificate for 127.0.0.1: (authority, certificate, key)."""
    authority, key, request, leaf = (directory / n for n in ("ca.pem", "leaf.key", "leaf.csr", "leaf.pem"))
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    extensions = directory / "extensions"
    extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
    signing = ["-CA", str(authority), "-CAkey", str(directory / "ca.key"), "-CAcreateserial", "-days", "30"]
    constraints = ["-addext", "basicConstraints=critical,CA:TRUE"]
    proc.run(
        ["openssl", "req", "-x509", *curve, "-keyout", str(directory / "ca.key"), "-out", str(authority)]
        + ["-days", "30", "-subj", "/CN=conformance", *constraints]
    )
    proc.run(["openssl", "req", *curve, "-keyout", str(key), "-out", str(request), "-subj", "/CN=localhost"])
    proc.run(["openssl", "x509", "-req", "-in", str(request), *signing, "-extfile", str(extensions), "-out", str(leaf)])
    return authority, leaf, key


class Radicale(Server):
    """Radicale: plain-text passwords in a file, one folder a user."""

    kind = "radicale"

    def __init__(self, logs: Path, venv: Path):
        super().__init__(logs)
        self.venv = venv
        self.users = self.data / "users"
        self.users.touch()
        self.ca, certificate, key = make_certificate(self.data)
        self.tls = ["--ssl", "--certificate", str(certificate), "--key", str(key)]

    def command(self) -> list[str]:
        return [
            *[str(self.venv / "bin" / "radicale"), "--config", "", "--hosts", f"127.0.0.1:{self.port}", *self.tls],
            *["--storage-filesystem-folder", str(self.data / "collections"), "--auth-delay", "0"],
            *["--auth-type", "htpasswd", "--auth-htpasswd-filename", str(self.users)],
            *["--auth-htpasswd-encryption", "plain", "--server-max-connections", "40"],
        ]

    def add_account(self, name: str) -> Account:
        password = secrets.token_urlsafe(16)
        with self.users.open("a") as users:
            users.write(f"{name}:{password}\n")
        home = f"/{name}/"
        account = Account(
            name, f"{name}@example.test", password, self.base, home, home, f"{home}calendar/", f"{home}tasks/", home
        )
        dav = self.dav(account)
        dav.request("PROPFIND", home, Depth="0")
        dav.mkcalendar(account.calendar)
        dav.mkcalendar(account.tasks, component="VTODO")
        return account


class Xandikos(Server):
    """Xandikos: no sign-in at all, one user; only for plain DAV suites."""

    kind = "xandikos"
    scheme = "http"

    def __init__(self, logs: Path, venv: Path):
        super().__init__(logs)
        self.venv = venv

    def command(self) -> list[str]:
        return [
            *[str(self.venv / "bin" / "xandikos"), "serve", "--directory", str(self.data), "--defaults"],
            *["--listen-address", "127.0.0.1", "--port", str(self.port), "--current-user-principal", "/user/"],
        ]

    def add_account(self, name: str) -> Account:
        home = "/user/calendars/"
        account = Account(
            "user",
            "user@example.test",
            "none",
            self.base,
            "/user/",
            home,
            f"{home}{name}/",
            f"{home}{name}-tasks/",
            "/user/",
        )
        dav = self.dav(account)
        dav.mkcalendar(account.calendar)
        dav.mkcalendar(account.tasks, component="VTODO")
        return account


class WsgiDav(Server):
    """WsgiDAV: a plain WebDAV server with locks; only for litmus and cadaver."""

    kind = "wsgidav"

    def __init__(self, logs: Path, venv: Path):
        super().__init__(logs)
        self.venv = venv
        self.password = secrets.token_urlsafe(16)
        self.ca, certificate, key = make_certificate(self.data)
        names = [f"{suite}{number}" for suite in ("litmus", "cadaver", "curl", "server") for number in ("", "2")]
        (self.data / "files").mkdir()
        config = {
            "host": "127.0.0.1",
            "port": self.port,
            "provider_mapping": {"/": str(self.data / "files")},
            "simple_dc": {"user_mapping": {"*": {name: {"password": self.password} for name in names}}},
            "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
            "property_manager": True,
            "lock_storage": True,
            "ssl_certificate": str(certificate),
            "ssl_private_key": str(key),
            "ssl_adapter": "builtin",
        }
        (self.data / "config.json").write_text(json.dumps(config))

    def command(self) -> list[str]:
        return [str(self.venv / "bin" / "wsgidav"), "--config", str(self.data / "config.json")]

    def add_account(self, name: str) -> Account:
        for folder in ("calendar", "tasks"):
            (self.data / "files" / folder).mkdir(exist_ok=True)
        return Account(name, f"{name}@example.test", self.password, self.base, "/", "/", "/calendar/", "/tasks/", "/")


# Other servers by name, each made from (folder for logs, Python environment).
OTHERS = {server.kind: server for server in (Radicale, Xandikos, WsgiDav)}
