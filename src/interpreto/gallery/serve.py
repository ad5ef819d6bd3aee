"""A look at a gallery through a server on this machine, for this machine alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from interpreto.errors import InputError
from interpreto.gallery.mark import PAGE, is_gallery

HOST = "127.0.0.1"
_KINDS = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
# A page of a gallery brings a stricter policy of its own, by hashes; both hold.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class GalleryServer(ThreadingHTTPServer):
    """Serves the files of one gallery on the loopback address.

    Args:
        out: The folder of the gallery.
        port: The port; 0 for any that is free.

    Raises:
        InputError: No gallery there, or a port that cannot be used.
    """

    daemon_threads = True

    def __init__(self, out: str | Path, port: int = 8000) -> None:
        self.root: Path = Path(out).resolve()
        try:
            known = is_gallery(self.root)
        except OSError as error:
            raise InputError(f"out: the gallery in {out} cannot be read ({error})") from error
        if not known:
            raise InputError(
                f"out: expected the folder of a gallery, which `interpreto gallery build` writes, got {out}"
            )
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise InputError(f"port: {port} cannot be used ({error}); take another, or 0 for any") from error

    @property
    def url(self) -> str:
        """Where the gallery is looked at."""
        return f"http://{HOST}:{self.server_address[1]}/"

    @property
    def hosts(self) -> frozenset[str]:
        """The names by which a browser on this machine calls it; a page elsewhere that calls itself so is refused."""
        port = self.server_address[1]
        return frozenset(
            name + suffix for name in (HOST, "localhost") for suffix in (f":{port}", "")[: 1 + (port == 80)]
        )

    def file(self, path: str) -> Path | None:
        """The file that a request names: one that is there, below the folder, and no link out of it."""
        try:
            parts = unquote(path, errors="strict").removeprefix("/").split("/")
        except UnicodeDecodeError:
            return None
        if parts == [""]:
            parts = [PAGE]
        if any(part in ("", ".", "..") or set(part) & set("\\\0:") for part in parts):
            return None
        try:
            found = self.root.joinpath(*parts).resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            return None
        inside = found.is_file() and self.root in found.parents and found.suffix in _KINDS
        return found if inside else None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is nothing to tell of."""


class _Handler(BaseHTTPRequestHandler):
    server: GalleryServer
    server_version, sys_version = "interpreto", ""
    timeout = 20

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        if self.headers.get_all("Host", []) not in [[host] for host in self.server.hosts]:
            self._send(HTTPStatus.MISDIRECTED_REQUEST, "this server is asked as localhost\n", body)
            return
        path = self.path.split("?", 1)[0].split("#", 1)[0]
        file = self.server.file(path) if path.startswith("/") else None
        if file is None:
            self._send(HTTPStatus.NOT_FOUND, "no such file\n", body)
            return
        try:
            content = file.read_bytes()
        except OSError:
            self._send(HTTPStatus.NOT_FOUND, "no such file\n", body)
            return
        self._send(HTTPStatus.OK, content, body, _KINDS[file.suffix])

    def _send(
        self, status: HTTPStatus, content: str | bytes, body: bool, kind: str = "text/plain; charset=utf-8"
    ) -> None:
        data = content.encode() if isinstance(content, str) else content
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests are the reader's own."""


def serve(out: str | Path, port: int = 8000, tell: Callable[[str], None] = print) -> None:
    """Serve a gallery until Ctrl-C, for browsers on this machine alone.

    Only files of the gallery are given out, and only to who asks by a name of this machine.

    Args:
        out: The folder of the gallery.
        port: The port; 0 for any that is free.
        tell: Is given the address as soon as it can be looked at.

    Raises:
        InputError: No gallery there, or a port that cannot be used.
    """
    with GalleryServer(out, port) as server, suppress(KeyboardInterrupt):
        tell(server.url)
        server.serve_forever()
