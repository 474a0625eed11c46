"""A small DAV client on http.client, for setting scenes and checking what clients left.

It is deliberately not one of the tested clients: what they claim to have
written is read back through this one.
"""

import base64
import http.client
import ssl
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Seconds to wait for one answer.
REQUEST_TIMEOUT = 60


@dataclass
class Account:
    """A user of the server under test and where their things are."""

    name: str
    email: str
    password: str
    base: str  # scheme and authority, without a slash at the end
    principal: str  # paths, each with a slash at the end
    home: str
    calendar: str
    tasks: str
    plain_parent: str  # where plain collections may be made

    def url(self, path: str) -> str:
        """The full URL of a path."""
        return self.base + path


@dataclass
class Response:
    """One answer, its body read to the end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def header(self, name: str) -> str:
        """A header's value, or an empty string."""
        return self.headers.get(name, "")

    def xml(self) -> ElementTree.Element:
        """The body as XML."""
        return ElementTree.fromstring(self.body)


class Dav:
    """One kept-alive connection of one account."""

    def __init__(self, account: Account, ca: Path | None):
        self.account = account
        parts = urlsplit(account.base)
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=str(ca) if ca else None)
            self.connection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=REQUEST_TIMEOUT, context=context
            )
        else:
            self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=REQUEST_TIMEOUT)
        secret = base64.b64encode(f"{account.name}:{account.password}".encode()).decode()
        self.authorization = f"Basic {secret}"

    def request(self, method: str, path: str, body: bytes | str = b"", **headers: str) -> Response:
        """Send one request; `If_Match="x"` becomes `If-Match: x`. Sends again once if the connection was closed."""
        data = body.encode() if isinstance(body, str) else body
        fields = {"Authorization": self.authorization}
        fields.update({key.replace("_", "-"): value for key, value in headers.items()})
        for attempt in (1, 2):
            try:
                self.connection.request(method, path, body=data or None, headers=fields)
                answer = self.connection.getresponse()
                return Response(answer.status, answer.headers, answer.read())
            except (ConnectionError, ssl.SSLEOFError):  # an idle connection that the server has closed
                self.connection.close()
                if attempt == 2:
                    raise
            except Exception:
                self.connection.close()
                raise
        raise AssertionError("the loop above returns or raises")

    def put(self, path: str, body: bytes | str) -> Response:
        """PUT a calendar object; raises if it was refused."""
        answer = self.request("PUT", path, body, Content_Type="text/calendar; charset=utf-8")
        assert answer.status in (200, 201, 204), f"PUT {path} answered {answer.status}: {answer.body[:200]!r}"
        return answer

    def get(self, path: str) -> bytes:
        """GET a resource; raises if there is none."""
        answer = self.request("GET", path)
        assert answer.status == 200, f"GET {path} answered {answer.status}"
        return answer.body

    def delete(self, path: str) -> None:
        """DELETE a resource; raises if it was refused."""
        answer = self.request("DELETE", path)
        assert answer.status in (200, 204), f"DELETE {path} answered {answer.status}"

    def mkcalendar(self, path: str, name: str = "", component: str = "VEVENT") -> None:
        """Make a calendar."""
        body = (
            '<?xml version="1.0" encoding="utf-8"?>'
            '<C:mkcalendar xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:set><D:prop>'
            f"<D:displayname>{name or path.strip('/').rsplit('/', 1)[-1]}</D:displayname>"
            f'<C:supported-calendar-component-set><C:comp name="{component}"/></C:supported-calendar-component-set>'
            "</D:prop></D:set></C:mkcalendar>"
        )
        answer = self.request("MKCALENDAR", path, body, Content_Type="application/xml; charset=utf-8")
        assert answer.status == 201, f"MKCALENDAR {path} answered {answer.status}: {answer.body[:200]!r}"

    def children(self, path: str) -> list[str]:
        """The paths of a collection's members (PROPFIND, Depth: 1), as sent."""
        body = '<D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/><D:getetag/></D:prop></D:propfind>'
        answer = self.request("PROPFIND", path, body, Depth="1", Content_Type="application/xml; charset=utf-8")
        assert answer.status == 207, f"PROPFIND {path} answered {answer.status}"
        hrefs = [urlsplit(element.text or "").path for element in answer.xml().iter("{DAV:}href")]
        return [href for href in hrefs if unquote(href).rstrip("/") != unquote(path).rstrip("/")]

    def property(self, path: str, namespace: str, name: str) -> str:
        """One property's text, or an empty string when it is not there."""
        body = f'<D:propfind xmlns:D="DAV:"><D:prop><x:{name} xmlns:x="{namespace}"/></D:prop></D:propfind>'
        answer = self.request("PROPFIND", path, body, Depth="0", Content_Type="application/xml; charset=utf-8")
        assert answer.status == 207, f"PROPFIND {path} answered {answer.status}"
        for status in answer.xml().iter("{DAV:}propstat"):
            if " 200 " in (status.findtext("{DAV:}status") or "") + " ":
                for element in status.iter(f"{{{namespace}}}{name}"):
                    return "".join(element.itertext()).strip()
        return ""

    def proppatch(self, path: str, namespace: str, name: str, value: str) -> Response:
        """Set one property."""
        body = (
            '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop>'
            f'<x:{name} xmlns:x="{namespace}">{value}</x:{name}>'
            "</D:prop></D:set></D:propertyupdate>"
        )
        answer = self.request("PROPPATCH", path, body, Content_Type="application/xml; charset=utf-8")
        assert answer.status == 207, f"PROPPATCH {path} answered {answer.status}"
        return answer
