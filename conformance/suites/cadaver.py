"""cadaver: a command-line WebDAV client, driven by scripts, in a plain collection.

cadaver trusts an unknown certificate only when someone at a terminal says so,
so it gets a terminal, and its questions and prompts are answered as they come.
Sign-in comes from a .netrc file. What it claims to have done is checked with
our own client.
"""

import re

from harness.context import Context
from harness.dav import Account, Dav

NAME = "cadaver"
NEEDS = ["cadaver"]

QUESTION = re.compile(rb"\(y/n\) ?$")
PROMPT = re.compile(rb"dav:[^\n]*[>?] ?$")
CONTENT = b"line one\r\nline two \xc3\xa9 \x00\x01\xff\n" * 200


class Cadaver:
    """cadaver in one plain collection of one account."""

    def __init__(self, context: Context, account: Account, folder: str):
        self.context = context
        self.url = account.url(folder)
        netrc = context.folder / ".netrc"
        netrc.write_text(f"machine 127.0.0.1 login {account.name} password {account.password}\n")
        netrc.chmod(0o600)
        # without a pager that would wait for a key
        (context.folder / ".cadaverrc").write_text("set pager cat\n")

    def __call__(self, *commands: str) -> str:
        """Run commands in one session; returns what it printed."""
        answers = [(QUESTION, ["y"] * 3), (PROMPT, [*commands, "quit"])]
        return self.context.talk(["cadaver", self.url], answers)


def run(context: Context) -> None:
    """All commands, each verified."""
    account = context.account()
    folder = account.plain_parent + "cadaver-run/"
    dav = context.dav(account)
    with context.check("make-plain-collection"):
        answer = dav.request("MKCOL", folder)
        assert answer.status == 201, f"MKCOL answered {answer.status}"
    cadaver = Cadaver(context, account, folder)
    (context.folder / "file.bin").write_bytes(CONTENT)
    files(context, cadaver, dav, folder)
    properties(context, cadaver, dav, folder)
    locks(context, cadaver, dav, folder)


def names(dav: Dav, folder: str) -> list[str]:
    """The last path segments of a collection's members."""
    return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in dav.children(folder))


def files(context: Context, cadaver: Cadaver, dav: Dav, folder: str) -> None:
    """put, get, ls, mkcol, copy, move, delete, rmcol."""
    with context.check("put"):
        printed = cadaver("put file.bin")
        assert "succeeded" in printed, printed
        assert dav.get(folder + "file.bin") == CONTENT
    with context.check("get"):
        cadaver("get file.bin back.bin")
        assert (context.folder / "back.bin").read_bytes() == CONTENT
    with context.check("ls"):
        printed = cadaver("ls")
        assert "file.bin" in printed and str(len(CONTENT)) in printed, printed
    with context.check("mkcol"):
        cadaver("mkcol sub")
        assert names(dav, folder) == ["file.bin", "sub"]
    with context.check("copy"):
        cadaver("copy file.bin sub/copy.bin")
        assert dav.get(folder + "sub/copy.bin") == CONTENT
    with context.check("copy-collection"):
        cadaver("copy sub sub2")
        assert dav.get(folder + "sub2/copy.bin") == CONTENT
    with context.check("move"):
        cadaver("move file.bin moved.bin")
        assert names(dav, folder) == ["moved.bin", "sub", "sub2"]
    with context.check("move-collection"):
        cadaver("move sub2 sub3")
        assert dav.get(folder + "sub3/copy.bin") == CONTENT
        assert names(dav, folder) == ["moved.bin", "sub", "sub3"]
    with context.check("name-with-space-and-umlaut"):
        (context.folder / "Öl & Gas 1.txt").write_bytes(b"x")
        cadaver('put "Öl & Gas 1.txt"')
        assert dav.get(folder + "%C3%96l%20%26%20Gas%201.txt") == b"x"
        cadaver('delete "Öl & Gas 1.txt"')
        assert names(dav, folder) == ["moved.bin", "sub", "sub3"]
    with context.check("delete"):
        cadaver("delete sub/copy.bin")
        assert names(dav, folder + "sub/") == []
    with context.check("rmcol"):
        cadaver("rmcol sub", "rmcol sub3")
        assert names(dav, folder) == ["moved.bin"]


def properties(context: Context, cadaver: Cadaver, dav: Dav, folder: str) -> None:
    """propset, propget, propdel."""
    namespace = "http://webdav.org/cadaver/custom-properties/"
    with context.check("propset"):
        printed = cadaver("propset moved.bin mood sunny")
        assert dav.property(folder + "moved.bin", namespace, "mood") == "sunny", printed
    with context.check("propget"):
        printed = cadaver("propget moved.bin mood")
        assert "sunny" in printed, printed
    with context.check("propset-moves-along"):
        cadaver("move moved.bin moved2.bin")
        assert dav.property(folder + "moved2.bin", namespace, "mood") == "sunny"
        cadaver("move moved2.bin moved.bin")
    with context.check("propdel"):
        dav.proppatch(folder + "moved.bin", namespace, "mood", "cloudy")
        assert dav.property(folder + "moved.bin", namespace, "mood") == "cloudy"
        cadaver("propdel moved.bin mood")
        assert dav.property(folder + "moved.bin", namespace, "mood") == ""


def locks(context: Context, cadaver: Cadaver, dav: Dav, folder: str) -> None:
    """lock, discover, unlock; a locked file refuses others (RFC 4918 section 6)."""
    path = folder + "moved.bin"
    with context.check("lock"):
        printed = cadaver("lock moved.bin")
        assert "succeeded" in printed, printed
        answer = dav.request("PUT", path, b"stolen")
        assert answer.status == 423, f"PUT without the token answered {answer.status}"
        assert dav.get(path) == CONTENT, "the locked file was changed"
    with context.check("discover-and-steal"):
        printed = cadaver("discover moved.bin")
        assert "opaquelocktoken:" in printed or "urn:uuid:" in printed, printed
        printed = cadaver("steal moved.bin", "unlock moved.bin")
        answer = dav.request("PUT", path, b"free")
        assert answer.status in (200, 204), f"PUT after unlock answered {answer.status}: {printed}"
    with context.check("lock-put-unlock-in-one-session"):
        printed = cadaver("lock moved.bin", "put file.bin moved.bin", "unlock moved.bin", "delete moved.bin")
        assert names(dav, folder) == [], printed
