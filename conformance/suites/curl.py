"""curl: HTTP itself, over HTTP/2 and HTTP/1.1, with the server's own authority.

Discovery as RFC 6764 section 6 has it, conditional requests (RFC 9110 section
13), Expect: 100-continue (section 10.1.1), chunked bodies, kept-alive
connections, many streams at once, TLS versions.
"""

import hashlib
import re
from dataclasses import dataclass

from harness.context import Context
from harness.dav import Account
from suites.vdirsyncer import item

NAME = "curl"
NEEDS = ["curl"]

PRINCIPAL = '<propfind xmlns="DAV:"><prop><current-user-principal/></prop></propfind>'
HOME = '<propfind xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><prop><C:calendar-home-set/></prop></propfind>'
# Requests in the test of many streams at once.
PARALLEL = 30


@dataclass
class Answer:
    """What curl got: the last answer's status, version and headers, the first body, curl's own
    notes, and how many connections it opened."""

    status: int
    version: str
    headers: dict[str, str]
    body: bytes
    notes: str
    connects: int


class Curl:
    """curl for one account, signed in unless told otherwise."""

    def __init__(self, context: Context, account: Account):
        self.context = context
        self.account = account
        self.number = 0
        self.config = context.folder / "curlrc"
        lines = [f'user = "{account.name}:{account.password}"']
        if context.server.ca:
            lines.append(f'cacert = "{context.server.ca}"')
        self.config.write_text("\n".join(lines) + "\n")

    def __call__(
        self, path: str, *options: str, http: str = "--http2", signed_in: bool = True, code: int = 0
    ) -> Answer:
        """One request; raises if curl's own status is not `code`."""
        self.number += 1
        body, headers = (self.context.folder / f"{self.number}.{kind}" for kind in ("body", "headers"))
        account = ["--config", str(self.config)] if signed_in else ["--cacert", str(self.context.server.ca or "")]
        if not signed_in and not self.context.server.ca:
            account = []
        output = self.context.run(
            *["curl", "--disable", "--silent", "--show-error", "--verbose", "--max-time", "60", http, *account],
            *["--output", str(body), "--dump-header", str(headers)],
            *["--write-out", "%{http_code} %{http_version} %{num_connects}\\n", *options, self.account.url(path)],
            check=False,
        )
        assert output.code == code, f"curl ended with {output.code}: {output.err[-300:]}"
        lines = [line.split() for line in output.out.splitlines()]
        connects = sum(int(line[2]) for line in lines)
        return Answer(
            *[
                int(lines[-1][0]),
                lines[-1][1],
                last_headers(headers.read_text("utf-8", "replace") if headers.exists() else ""),
            ],
            *[body.read_bytes() if body.exists() else b"", output.err, connects],
        )


def last_headers(text: str) -> dict[str, str]:
    """The headers of the last answer in a dump, names in lower case."""
    blocks = [block for block in re.split(r"\r?\n\r?\n", text) if block.strip()]
    lines = blocks[-1].splitlines()[1:] if blocks else []
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def run(context: Context) -> None:
    """All parts, on one account."""
    curl = Curl(context, context.account())
    discovery(context, curl)
    objects(context, curl)
    bodies(context, curl)
    connections(context, curl)
    transport(context, curl)


def propfind(curl: Curl, path: str, body: str, *options: str, **more) -> Answer:
    """A PROPFIND with Depth: 0."""
    fields = ["--header", "Depth: 0", "--header", "Content-Type: application/xml; charset=utf-8"]
    return curl(path, "--request", "PROPFIND", *fields, "--data-binary", body, *options, **more)


def discovery(context: Context, curl: Curl) -> None:
    """From a bare host name to the calendars."""
    account = curl.account
    with context.check("http2-is-negotiated"):
        assert curl("/", "--request", "OPTIONS").version == "2"
    with context.check("well-known-redirects-without-credentials"):
        answer = curl("/.well-known/caldav", signed_in=False)
        assert answer.status in (301, 302, 303, 307, 308), f"answered {answer.status}"
        assert "location" in answer.headers
    for path in ("/", "/.well-known/caldav", account.home, account.calendar, account.principal):
        with context.check(f"current-user-principal-from-{path.strip('/').replace(account.name, 'NAME') or 'root'}"):
            answer = propfind(curl, path, PRINCIPAL, "--location")
            assert answer.status == 207, f"answered {answer.status}"
            assert f"{account.principal}</".encode() in answer.body, answer.body[:300]
    with context.check("calendar-home-set-from-principal"):
        answer = propfind(curl, account.principal, HOME)
        assert answer.status == 207 and f"{account.home}</".encode() in answer.body, answer.body[:300]
    with context.check("options-advertises-calendar-access"):
        answer = curl(account.calendar, "--request", "OPTIONS")
        assert answer.status == 200, f"answered {answer.status}"
        classes = re.split(r"\s*,\s*", answer.headers.get("dav", ""))
        assert "1" in classes and "3" in classes and "calendar-access" in classes, f"DAV: {classes}"
        allowed = re.split(r"\s*,\s*", answer.headers.get("allow", ""))
        for method in ("PROPFIND", "REPORT", "PROPPATCH", "DELETE"):
            assert method in allowed, f"{method} is not in Allow: {allowed}"
    with context.check("no-credentials-401-with-challenge"):
        answer = propfind(curl, account.home, PRINCIPAL, signed_in=False)
        assert answer.status == 401, f"answered {answer.status}"
        assert answer.headers.get("www-authenticate", "").lower().startswith("basic"), answer.headers
    with context.check("wrong-password-401"):
        answer = propfind(curl, account.home, PRINCIPAL, "--user", f"{account.name}:wrong", signed_in=False)
        assert answer.status == 401, f"answered {answer.status}"


def objects(context: Context, curl: Curl) -> None:
    """PUT, GET, HEAD, DELETE with conditions."""
    path = curl.account.calendar + "curl.ics"
    body = item("curl@c", "By curl é").encode()
    put = ["--request", "PUT", "--header", "Content-Type: text/calendar; charset=utf-8"]
    file = context.folder / "curl.ics"
    file.write_bytes(body)
    etag = ""
    with context.check("put-201-with-strong-etag"):
        answer = curl(path, *put, "--header", "If-None-Match: *", "--data-binary", f"@{file}")
        etag = answer.headers.get("etag", "")
        assert answer.status == 201, f"answered {answer.status}: {answer.body[:200]}"
        assert re.fullmatch(r'"[^"]+"', etag), f"ETag: {etag}"
    with context.check("put-again-with-If-None-Match-412"):
        answer = curl(path, *put, "--header", "If-None-Match: *", "--data-binary", f"@{file}")
        assert answer.status == 412, f"answered {answer.status}"
    with context.check("get-same-bytes"):
        answer = curl(path)
        assert answer.status == 200 and answer.body == body, f"{answer.status}: {answer.body[:200]}"
        assert answer.headers.get("etag") == etag, f"ETag: {answer.headers.get('etag')}"
        assert answer.headers.get("content-type", "").startswith("text/calendar"), answer.headers
    with context.check("get-If-None-Match-304"):
        answer = curl(path, "--header", f"If-None-Match: {etag}")
        assert answer.status == 304 and not answer.body, f"answered {answer.status}"
    with context.check("head"):
        answer = curl(path, "--head")
        assert answer.status == 200 and answer.headers.get("content-length") == str(len(body)), answer.headers
    with context.check("put-If-Match-204-and-new-etag"):
        file.write_bytes(item("curl@c", "Changed").encode())
        answer = curl(path, *put, "--header", f"If-Match: {etag}", "--data-binary", f"@{file}")
        assert answer.status in (200, 204), f"answered {answer.status}"
        assert answer.headers.get("etag") not in ("", etag), "the ETag did not change"
    with context.check("put-with-old-etag-412"):
        answer = curl(path, *put, "--header", f"If-Match: {etag}", "--data-binary", f"@{file}")
        assert answer.status == 412, f"answered {answer.status}"
    with context.check("put-not-icalendar-is-refused"):
        answer = curl(curl.account.calendar + "bad.ics", *put, "--data-binary", "this is not a calendar")
        assert answer.status == 403 and b"valid-calendar-data" in answer.body, f"{answer.status}: {answer.body[:200]}"
    with context.check("same-uid-under-another-name-is-refused"):
        answer = curl(curl.account.calendar + "other.ics", *put, "--data-binary", f"@{file}")
        assert answer.status in (403, 409) and b"no-uid-conflict" in answer.body, f"{answer.status}"
    with context.check("delete"):
        answer = curl(path, "--request", "DELETE")
        assert answer.status == 204, f"answered {answer.status}"
        assert curl(path).status == 404


def bodies(context: Context, curl: Curl) -> None:
    """How a request's body may arrive."""
    path = curl.account.calendar + "body.ics"
    put = ["--request", "PUT", "--header", "Content-Type: text/calendar; charset=utf-8"]
    file = context.folder / "body.ics"
    file.write_bytes(item("body@c", "x" * 60_000).encode())
    for http in ("--http1.1", "--http2"):
        with context.check(f"expect-100-continue-{http.strip('-')}"):
            answer = curl(path, *put, "--header", "Expect: 100-continue", "--data-binary", f"@{file}", http=http)
            assert answer.status in (201, 204), f"answered {answer.status}"
            if http == "--http1.1":
                assert "< HTTP/1.1 100 " in answer.notes, "no 100 Continue was sent"
                assert "Done waiting for 100-continue" not in answer.notes, "curl had to stop waiting"
    with context.check("expect-100-continue-is-not-sent-without-credentials"):
        options = ["--header", "Expect: 100-continue", "--data-binary", f"@{file}"]
        answer = curl(path, *put, *options, http="--http1.1", signed_in=False)
        assert answer.status == 401 and "< HTTP/1.1 100 " not in answer.notes, f"answered {answer.status}"
    with context.check("chunked-body"):
        options = ["--header", "Transfer-Encoding: chunked", "--data-binary", f"@{file}"]
        answer = curl(path, *put, *options, http="--http1.1")
        assert answer.status in (201, 204), f"answered {answer.status}"
        assert hashlib.sha256(curl(path).body).digest() == hashlib.sha256(file.read_bytes()).digest()
    with context.check("compressed-answer-is-the-same"):
        answer = curl(path, "--compressed")
        assert answer.status == 200 and answer.body == file.read_bytes()
    with context.check("name-with-space-and-umlaut"):
        file.write_bytes(item("name@c", "Name").encode())
        name = curl.account.calendar + "%C3%96l%20%26%20Gas.ics"
        assert curl(name, *put, "--data-binary", f"@{file}").status == 201
        assert curl(name.replace("%C3%96", "%c3%96")).body == file.read_bytes()
        assert curl(name, "--request", "DELETE").status == 204


def connections(context: Context, curl: Curl) -> None:
    """Connections that are used again, and many streams on one."""
    path = curl.account.calendar + "body.ics"
    url = curl.account.url(path)
    for http in ("--http1.1", "--http2"):
        with context.check(f"keep-alive-{http.strip('-')}"):
            again = ["--output", str(context.folder / "again"), url]
            answer = curl(path, *again, http=http)
            assert "Re-using existing connection" in answer.notes, "the second request opened a new connection"
    with context.check("keep-alive-after-401"):
        home = curl.account.url(curl.account.home)
        again = ["--output", str(context.folder / "again"), home]
        answer = curl(curl.account.home, *again, http="--http1.1", signed_in=False)
        assert "Re-using existing connection" in answer.notes, "the connection was closed"
    with context.check("many-streams-on-one-connection"):
        answer = curl(path, "--parallel", "--parallel-max", "10", *parallel(context, url))
        others = [(context.folder / f"parallel-{n}").read_bytes() for n in range(PARALLEL)]
        assert answer.version == "2", f"HTTP/{answer.version}"
        assert all(body == answer.body for body in others) and answer.body, "the answers differ"
        assert answer.connects == 1, f"{answer.connects} connections"


def parallel(context: Context, url: str) -> list[str]:
    """Further outputs and URLs for one command."""
    options: list[str] = []
    for number in range(PARALLEL):
        options += ["--output", str(context.folder / f"parallel-{number}"), url]
    return options


def transport(context: Context, curl: Curl) -> None:
    """TLS versions, names in the certificate, and headers that only make sense over TLS."""
    if not context.server.ca:
        return
    path = curl.account.calendar + "body.ics"
    for version in ("1.2", "1.3"):
        with context.check(f"tls-{version}"):
            answer = curl(path, f"--tlsv{version}", "--tls-max", version)
            assert answer.status == 200, f"answered {answer.status}"
    with context.check("tls-1.1-is-refused"):
        # 35 is CURLE_SSL_CONNECT_ERROR; the security level lets curl itself offer 1.1
        answer = curl(path, "--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT:@SECLEVEL=0", code=35)
        assert "alert" in answer.notes, answer.notes[-300:]
    with context.check("certificate-names-localhost"):
        port = str(context.server.port)
        options = ["--connect-to", f"localhost:{port}:127.0.0.1:{port}", f"https://localhost:{port}{path}"]
        answer = curl(path, *options, "--output", str(context.folder / "by-address"))
        assert answer.body and answer.body == (context.folder / "by-address").read_bytes(), "no answer"
    with context.check("strict-transport-security"):
        assert "strict-transport-security" in curl(path).headers
