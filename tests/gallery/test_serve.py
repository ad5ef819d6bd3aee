"""The server gives out the files of a gallery, to this machine alone, and nothing else."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from interpreto.errors import InputError
from interpreto.gallery.serve import GalleryServer

PAGE = '<meta name="generator" content="interpreto gallery"><p>gallery</p>'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GalleryServer]:
    root = tmp_path / "out"
    (root / "data").mkdir(parents=True)
    (root / "index.html").write_text(PAGE)
    (root / "data" / "one.js").write_text("arrived()")
    (root / "notes.txt").write_text("secret")
    (tmp_path / "secret.js").write_text("secret")
    (tmp_path / "out2").mkdir()
    (tmp_path / "out2" / "secret.js").write_text("secret")
    (root / "link.js").symlink_to(tmp_path / "secret.js")
    (root / "outside").symlink_to(tmp_path / "out2")
    (root / "inside.js").symlink_to(root / "data" / "one.js")
    (root / "loop.js").symlink_to(root / "loop.js")
    (root / "folder.js").mkdir()
    with GalleryServer(root, 0) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def raw(server: GalleryServer, request: str) -> tuple[int, dict[str, str], bytes]:
    """What comes back for a request of any kind."""
    with socket.create_connection(server.server_address[:2], timeout=20) as line:
        line.sendall(request.encode("latin-1"))
        line.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(line, method=request.split(" ", 1)[0])
        answer.begin()
        return answer.status, dict(answer.getheaders()), answer.read()


def get(
    server: GalleryServer, path: str, host: str | None = None, method: str = "GET"
) -> tuple[int, dict[str, str], bytes]:
    host = f"127.0.0.1:{server.server_address[1]}" if host is None else host
    return raw(server, f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")


@pytest.mark.parametrize(
    ("path", "content", "kind"),
    [
        ("/", PAGE.encode(), "text/html; charset=utf-8"),
        ("/index.html", PAGE.encode(), "text/html; charset=utf-8"),
        ("/?x=1", PAGE.encode(), "text/html; charset=utf-8"),
        ("/data/one.js", b"arrived()", "text/javascript; charset=utf-8"),
        ("/data/%6fne.js", b"arrived()", "text/javascript; charset=utf-8"),
        ("/inside.js", b"arrived()", "text/javascript; charset=utf-8"),
    ],
)
def test_files_of_the_gallery_are_given_out(server, path, content, kind):
    status, headers, body = get(server, path)
    assert (status, body, headers["Content-Type"]) == (200, content, kind)
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.js",
        "/%2e%2e/secret.js",
        "/%2E%2E%2Fsecret.js",
        "/..%2fsecret.js",
        "/data/../../secret.js",
        "/data/%2e%2e/%2e%2e/secret.js",
        "/..%5csecret.js",
        "/%252e%252e/secret.js",
        "//etc/passwd",
        "/{folder}/secret.js",
        "//{folder}/secret.js",
        "/%2f{folder}/secret.js",
        "/../out2/secret.js",
        "/link.js",
        "/outside/secret.js",
        "/loop.js",
        "/folder.js",
        "/data",
        "/data/",
        "/data//one.js",
        "/./index.html",
        "/index.html/",
        "/index.html%00.js",
        "/%ff.js",
        "/notes.txt",
        "/none.js",
        "/" + "a" * 5000 + ".js",
        "http://127.0.0.1/index.html",
        "index.html",
        "*",
    ],
)
def test_nothing_else_is_given_out(server, path):
    status, headers, body = get(server, path.replace("{folder}", str(server.root.parent)))
    assert (status, body) == (404, b"no such file\n")
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}",
     "127.0.0.1:{port}@x", "[::1]:{port}", "0.0.0.0:{port}", ""],
)  # fmt: skip
def test_a_page_that_pretends_to_be_this_machine_reads_nothing(server, host):
    status, _, body = get(server, "/", host.replace("{port}", str(server.server_address[1])))
    assert status == 421
    assert b"gallery" not in body


def test_a_request_without_a_host_or_with_two_reads_nothing(server):
    own = f"Host: 127.0.0.1:{server.server_address[1]}\r\n"
    for hosts in ("", own * 2, own + "Host: evil.example\r\n"):
        assert raw(server, f"GET / HTTP/1.1\r\n{hosts}\r\n")[0] == 421


def test_the_machine_has_two_names(server):
    assert get(server, "/", f"localhost:{server.server_address[1]}")[0] == 200


def test_only_reading_is_possible(server):
    status, headers, body = get(server, "/", method="HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", str(len(PAGE)))
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "CONNECT"):
        status, headers, _ = get(server, "/", method=method)
        assert status == 501
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_only_this_machine_is_listened_to(server):
    assert server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_address[1]}/"


def test_what_cannot_be_served_is_refused(server, tmp_path):
    with pytest.raises(InputError, match="out: expected the folder of a gallery"):
        GalleryServer(tmp_path / "none", 0)
    for page in ("<p>my diary</p>", "x" * 10_000 + PAGE, ""):
        (tmp_path / "out2" / "index.html").write_text(page)
        with pytest.raises(InputError, match="out: expected the folder of a gallery, which `interpreto gallery build`"):
            GalleryServer(tmp_path / "out2", 0)
    with pytest.raises(InputError, match="cannot be used"):
        GalleryServer(server.root, server.server_address[1])
    with pytest.raises(InputError, match="cannot be used"):
        GalleryServer(server.root, 70_000)
