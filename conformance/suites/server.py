"""The server as an administrator and a probe see it: health, accounts, app passwords.

Only for sealdav itself: other servers have none of these commands.
"""

from harness import proc
from harness.context import Context
from harness.dav import Dav
from harness.results import PASSED
from harness.servers import Sealdav

NAME = "server"
NEEDS: list[str] = []


def run(context: Context) -> None:
    """Health, then what the life of an account needs."""
    server = context.server
    if not isinstance(server, Sealdav):
        context.results.record("answers", PASSED)
        return
    with context.check("healthz"):
        status = Dav(context.account(), server.ca).request("GET", "/healthz").status
        assert status == 200, f"/healthz answered {status}"
    with context.check("health-command"):
        server.cli("health")
    with context.check("weak-password-is-refused"):
        command = ("user", "add", "weak", "--email", "weak@example.test", "--password-stdin")
        output = server.cli(*command, stdin="password\n", check=False)
        assert output.code != 0, "a user with the password 'password' was made"
    with context.check("allow-weak"):
        server.cli(*command, "--allow-weak", stdin="password\n")
    with context.check("user-exists-already"):
        assert server.cli(*command, "--allow-weak", stdin="password\n", check=False).code != 0
    with context.check("account-password-does-not-open-dav"):
        account = context.account()
        own = Dav(account, server.ca)
        other = Dav(type(account)(**{**account.__dict__, "password": server.account_password(account.name)}), server.ca)
        assert own.request("PROPFIND", account.home, Depth="0").status == 207
        status = other.request("PROPFIND", account.home, Depth="0").status
        assert status == 401, f"answered {status}"
    with context.check("second-app-password"):
        second = server.with_app_password(account.name, "second device")
        assert second.password != account.password
        for each in (account, second):
            status = Dav(each, server.ca).request("PROPFIND", account.home, Depth="0").status
            assert status == 207, f"answered {status}"
    with context.check("other-users-home-is-not-found"):
        other = context.account("2")
        status = Dav(account, server.ca).request("PROPFIND", other.home, Depth="0").status
        assert status == 404, f"answered {status}"
    offline(context, server)


def offline(context: Context, server: Sealdav) -> None:
    """The commands also work while the server is down, and what they did is there afterwards."""
    with context.check("commands-without-a-running-server"):
        server.stop()
        try:
            account = server.add_account("offline")
        finally:
            server.start()
        status = Dav(account, server.ca).request("PROPFIND", account.home, Depth="0").status
        assert status == 207, f"answered {status}"
    with context.check("second-server-on-the-same-data-is-refused"):
        command = [str(server.binary), "serve", "--data", str(server.store), "--listen", "127.0.0.1:0"]
        output = proc.run(command, env=proc.environment(context.folder), timeout=30, check=False, log=context.log)
        assert output.code != 0, "it started"
