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
# DAViCal with what it needs: a database, and a web server with PHP in it
DAVICAL = Path("/usr/share/davical")
DAVICAL_PACKAGES = ["davical", "postgresql", "apache2-bin", "libapache2-mod-php", "php-pgsql", "php-xml", "php-curl"]
APACHE_CONF = """\
ServerRoot /usr/lib/apache2
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {data}/apache.pid
ErrorLog {data}/apache.log
LogLevel error
User www-data
Group www-data
LoadModule mpm_prefork_module modules/mod_mpm_prefork.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule dir_module modules/mod_dir.so
LoadModule php_module modules/{php}
StartServers 8
MinSpareServers 8
MaxSpareServers 64
MaxRequestWorkers 64
KeepAlive On
MaxKeepAliveRequests 0
DocumentRoot {davical}/htdocs
AcceptPathInfo On
<FilesMatch "\\.php$">
  SetHandler application/x-httpd-php
</FilesMatch>
php_value include_path {davical}/inc:/usr/share/awl/inc
php_value error_reporting 0
php_value default_charset utf-8
php_value memory_limit 512M
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
            install(PACKAGES)
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


class Davical(Server):
    """DAViCal from Debian's packages, in Apache with PHP, over a PostgreSQL of its own; needs root."""

    kind = "davical"
    scheme = "http"

    def __init__(self, logs: Path):
        super().__init__(logs)
        if os.geteuid() != 0:
            raise OSError("PostgreSQL and Apache are started as root")
        if not DAVICAL.exists():
            install(DAVICAL_PACKAGES)
        self.data.chmod(0o755)
        self.postgres = sorted(Path("/usr/lib/postgresql").iterdir())[-1] / "bin"
        self.database = self.data / "database"
        self.database.mkdir()
        shutil.chown(self.database, "postgres", "postgres")
        php = next(Path("/usr/lib/apache2/modules").glob("libphp*.so")).name
        values = {"data": self.data, "port": self.port, "php": php, "davical": DAVICAL}
        (self.data / "apache.conf").write_text(APACHE_CONF.format(**values))
        self.environment = {**os.environ, "PGHOST": str(self.database), "PGPORT": str(free_port())}
        self.as_postgres([f"{self.postgres}/initdb", "--auth=trust", "--no-sync", "-D", str(self.database / "pg")])
        self.start_database()
        self.as_postgres([str(DAVICAL / "dba/create-database.sh"), "davical", PASSWORD])

    def as_postgres(self, command: list[str]) -> None:
        """Run it as the database's user, who alone may."""
        settings = [f"{name}={self.environment[name]}" for name in ("PGHOST", "PGPORT")]
        words = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "env", *settings, *command]
        done = subprocess.run(words, cwd=self.database, capture_output=True, text=True)
        if done.returncode != 0:
            raise OSError(f"{command[0]}: {(done.stdout + done.stderr).strip()[-300:]}")

    def start_database(self) -> None:
        """PostgreSQL as it comes: every commit is synced."""
        options = f"-k {self.database} -p {self.environment['PGPORT']} -c listen_addresses="
        log = str(self.database / "log")
        self.as_postgres([f"{self.postgres}/pg_ctl", "-w", "-D", str(self.database / "pg"), "-l", log, "-o", options, "start"])

    def command(self) -> list[str]:
        settings = [f"{name}={self.environment[name]}" for name in ("PGHOST", "PGPORT")]
        return ["env", *settings, "/usr/sbin/apache2", "-f", str(self.data / "apache.conf"), "-D", "FOREGROUND"]

    def add_account(self, name: str) -> Account:
        rows = (
            f"INSERT INTO usr (username, password, fullname, email, active) VALUES ('{name}', '**{PASSWORD}', '{name}', '{name}@example.test', TRUE);"
            f"INSERT INTO principal (type_id, user_no, displayname, default_privileges) SELECT 1, user_no, fullname, 0::BIT(24) FROM usr WHERE username = '{name}';"
        )
        self.as_postgres([f"{self.postgres}/psql", "-q", "-v", "ON_ERROR_STOP=1", "-c", rows, "davical"])
        home = f"/caldav.php/{name}/"
        return Account(name, f"{name}@example.test", PASSWORD, self.base, home, home, f"{home}calendar/", f"{home}tasks/", home)

    def remove(self) -> None:
        self.as_postgres([f"{self.postgres}/pg_ctl", "-w", "-m", "immediate", "-D", str(self.database / "pg"), "stop"])
        super().remove()

    def version(self) -> str:
        shown = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "davical"], capture_output=True, text=True)
        return f"DAViCal {shown.stdout}"


def install(packages: list[str]) -> None:
    """The packages, without starting what they bring."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    subprocess.run(command, env=environment, check=True, capture_output=True)
