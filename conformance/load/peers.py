"""Other servers to measure against, beside those that the conformance harness knows."""

import imaplib
import os
import shutil
import subprocess
import time
from pathlib import Path

from harness.dav import Account
from harness.servers import Radicale, Server, Xandikos, free_port

PASSWORD = "secret-load"
# /bin and /sbin of Debian's packages
CYRUS = Path("/usr/lib/cyrus/bin")
MASTER = Path("/usr/sbin/cyrmaster")
PACKAGES = ["cyrus-imapd", "cyrus-caldav", "sasl2-bin"]

IMAPD_CONF = """\
configdirectory: {data}/conf
defaultpartition: default
partition-default: {data}/spool
admins: admin
allowplaintext: yes
sasl_mech_list: PLAIN
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {data}/sasldb2
httpmodules: caldav
httpallowcompress: no
unixhierarchysep: yes
altnamespace: yes
caldav_allowscheduling: off
caldav_create_default: no
caldav_create_sched: no
caldav_create_attach: no
syslog_prefix: sealdavload
lmtpsocket: {data}/lmtp
idlesocket: {data}/idle
notifysocket: {data}/notify
zoneinfo_dir: {data}/zoneinfo
servername: localhost
defaultdomain: localhost
"""
CYRUS_CONF = """\
START {{
  recover cmd="/usr/sbin/cyrus ctl_cyrusdb -C {data}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="imapd -C {data}/imapd.conf" listen="127.0.0.1:{imap}" prefork=0 maxchild=10
  http cmd="httpd -C {data}/imapd.conf -U 1000000" listen="127.0.0.1:{port}" prefork=8 maxchild=100
}}
EVENTS {{
}}
"""
BERLIN = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//sealdav//load//EN
BEGIN:VTIMEZONE
TZID:Europe/Berlin
X-LIC-LOCATION:Europe/Berlin
LAST-MODIFIED:20200101T000000Z
BEGIN:DAYLIGHT
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
DTSTART:19700329T020000
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
BEGIN:STANDARD
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
END:VTIMEZONE
END:VCALENDAR
"""


class PlainRadicale(Radicale):
    """Radicale without TLS, logging as little as this server does."""

    scheme = "http"

    def __init__(self, logs: Path, venv: Path):
        super().__init__(logs, venv)
        self.tls = ["--logging-level", "warning"]
        self.ca = None

    def folder(self, calendar: str) -> Path:
        """Where the objects of a calendar lie."""
        return self.data / "collections/collection-root/load" / calendar

    def filled(self) -> None:
        """After files were put there."""


class FilledXandikos(Xandikos):
    """Xandikos, which keeps each calendar in a git repository."""

    def folder(self, calendar: str) -> Path:
        """Where the objects of a calendar lie."""
        return self.data / "user/calendars" / calendar

    def filled(self) -> None:
        """After files were put there: one commit of all."""
        git = ["git", "-C", str(self.folder("large")), "-c", "user.name=load", "-c", "user.email=load@example.test"]
        subprocess.run([*git, "add", "--all", "."], check=True, capture_output=True)
        subprocess.run([*git, "commit", "--quiet", "--message", "Load"], check=True, capture_output=True)


class Cyrus(Server):
    """Cyrus IMAP's httpd from Debian's packages, with a configuration of its own; needs root."""

    kind = "cyrus"
    scheme = "http"

    def __init__(self, logs: Path):
        super().__init__(logs)
        if os.geteuid() != 0:
            raise OSError("Cyrus is started as root")
        if not MASTER.exists():
            install()
        self.imap = free_port()
        values = {"data": self.data, "imap": self.imap, "port": self.port}
        (self.data / "imapd.conf").write_text(IMAPD_CONF.format(**values))
        (self.data / "cyrus.conf").write_text(CYRUS_CONF.format(**values))
        zones = self.data / "zoneinfo"
        (zones / "Europe").mkdir(parents=True)
        (zones / "Europe/Berlin.ics").write_bytes(BERLIN.replace("\n", "\r\n").encode())
        # libical's own list; without X-LIC-LOCATION above, httpd ends with a segmentation fault
        (zones / "zones.tab").write_text("+0523000 +0132200 Europe/Berlin\n")
        for name in ("conf", "spool"):
            (self.data / name).mkdir()
        for user in ("admin", "load"):
            self.password(user)
        subprocess.run(["chown", "-R", "cyrus:mail", str(self.data)], check=True)
        tool = f"{CYRUS}/ctl_zoneinfo -C {self.data}/imapd.conf -r IANA:2024a"
        subprocess.run(["su", "cyrus", "-s", "/bin/sh", "-c", tool], check=True, capture_output=True)

    def password(self, user: str) -> None:
        """A user's password in the file of SASL."""
        command = ["saslpasswd2", "-p", "-c", "-f", str(self.data / "sasldb2"), "-u", "localhost", user]
        subprocess.run(command, input=PASSWORD.encode(), check=True, capture_output=True)

    def command(self) -> list[str]:
        files = ["-C", str(self.data / "imapd.conf"), "-M", str(self.data / "cyrus.conf")]
        return [str(MASTER), *files, "-p", str(self.data / "master.pid"), "-D"]

    def add_account(self, name: str) -> Account:
        for _ in range(50):
            try:
                session = imaplib.IMAP4("127.0.0.1", self.imap)
                break
            except OSError:
                time.sleep(0.2)
        session.login("admin", PASSWORD)
        session.create(f"user/{name}")
        session.logout()
        home = f"/dav/calendars/user/{name}/"
        principal = f"/dav/principals/user/{name}/"
        mail = f"{name}@example.test"
        return Account(name, mail, PASSWORD, self.base, principal, home, f"{home}calendar/", f"{home}tasks/", home)

    def version(self) -> str:
        shown = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "cyrus-imapd"], capture_output=True, text=True)
        return f"Cyrus {shown.stdout}"


def install() -> None:
    """The packages, without starting what they bring."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES]
    subprocess.run(command, env=environment, check=True, capture_output=True)
