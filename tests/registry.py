"""A schema registry for tests: as much of the documented REST API as clients use.

It keeps what is registered, in memory, and can be made to fail.
"""

import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Body = dict[str, Any]


@dataclass
class Registered:
    """What is in a registry, how it answers, and what it was asked.

    `status`: what every question is answered with, instead of an answer. `credentials`: who may
    ask, as `username:password`.
    """

    schemas: dict[int, Body] = field(default_factory=dict)
    subjects: dict[str, list[int]] = field(default_factory=dict)
    status: int | None = None
    credentials: str | None = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    slow: bool = False
    asked: list[str] = field(default_factory=list)
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)

    def register(self, subject: str, schema: Body) -> int:
        """The id of a schema, the same for the same one."""
        parts = ("schema", "schemaType", "references")
        kept: Body = {part: schema[part] for part in parts if part in schema}
        known = (number for number, one in self.schemas.items() if one == kept)
        number = next(known, len(self.schemas) + 1)
        self.schemas[number] = kept
        versions = self.subjects.setdefault(subject, [])
        if number not in versions:
            versions.append(number)
        return number

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, Body]:
        """To a GET."""
        match [unquote(part) for part in path.strip("/").split("/")]:
            case ["schemas", "ids", number] if int(number) < 2**31:  # Java's are read no further
                if int(number) not in self.schemas:
                    return 404, {"error_code": 40403, "message": f"Schema {number} not found"}
                return 200, self._formed(self.schemas[int(number)], query)
            case ["subjects", subject, "versions", version]:
                if subject not in self.subjects:
                    return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
                found = self.subjects[subject][int(version) - 1]
                told = {"subject": subject, "version": int(version), "id": found}
                return 200, {**told, **self._formed(self.schemas[found], query)}
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    @staticmethod
    def _formed(schema: Body, query: dict[str, list[str]]) -> Body:
        """Protobuf is told as its source, which is not kept here, unless asked for serialized."""
        if schema.get("schemaType") == "PROTOBUF" and query.get("format") != ["serialized"]:
            return {**schema, "schema": 'syntax = "proto3";'}
        return schema


class _Handler(BaseHTTPRequestHandler):
    registered: Registered

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.registered.asked.append(self.path)
        if not self._refused():
            self._send(*self.registered.answer(parts.path, parse_qs(parts.query)))

    def do_POST(self) -> None:
        schema = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        subject = unquote(urlsplit(self.path).path.split("/")[2])
        self._send(200, {"id": self.registered.register(subject, schema)})

    def _refused(self) -> bool:
        ours = self.registered
        if ours.slow:
            ours.released.wait()
            self.close_connection = True
            return True
        if ours.status is not None:
            self._send(ours.status, {"error_code": ours.status * 100 + 1, "message": "no"})
        elif ours.credentials is not None and self.headers["Authorization"] != (
            f"Basic {b64encode(ours.credentials.encode()).decode()}"
        ):
            self._send(401, {"error_code": 401, "message": "Unauthorized"})
        elif ours.body is not None:
            self._send_bytes(200, ours.body)
        else:
            return False
        return True

    def _send(self, status: int, body: Body) -> None:
        self._send_bytes(status, json.dumps(body).encode())

    def _send_bytes(self, status: int, body: bytes) -> None:
        self.send_response(status)
        for name, value in self.registered.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running_registry(certificate: Path | None = None) -> Iterator[Registered]:
    """One on a free port; with a certificate, and its key in the same file, by TLS."""
    registered = Registered()
    handler = type("Handler", (_Handler,), {"registered": registered})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        scheme = "http"
        if certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        registered.url = f"{scheme}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield registered
        finally:
            registered.released.set()
            server.shutdown()
            thread.join()
