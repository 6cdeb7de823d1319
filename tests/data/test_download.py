"""Fetching a data set: from a server on this machine."""

from __future__ import annotations

import io
import re
import socket
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from click.testing import CliRunner
from layouts import find
from PIL import Image

from fer_mlops.cli.main import cli
from fer_mlops.data.datasets.download import ARCHIVES, Archive, download
from fer_mlops.errors import DataError, FerError
from fer_mlops.progress import Advance


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 64), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pack(files: dict[str, bytes], commit: str = "") -> bytes:
    """Returns a tar.gz as GitHub makes one: everything below one folder."""
    packed = io.BytesIO()
    headers = {"comment": commit} if commit else {}
    with tarfile.open(fileobj=packed, mode="w:gz", pax_headers=headers) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"facial_expressions-master/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


FILES = {
    "README.md": b"read me",
    "augmented/A_0001.jpg": picture(9),
    "images/A_0001.jpg": picture(1),
    "images/B_0001.jpg": picture(2),
    "data/legend.csv": b"user.id,image,emotion\n1,A_0001.jpg,fear\n1,B_0001.jpg,anger\n",
}
PACKED = pack(FILES)


@dataclass
class Server:
    """What the server on this machine does, and what it was asked."""

    url: str = ""
    content: bytes = PACKED
    has_ranges: bool = True
    has_length: bool = True
    stop_after: int = 0
    """Bytes of a body before the connection breaks; 0 for never."""
    status: int = 200
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            state.asked.append(wanted)
            start = int(re.sub(r"\D", "", wanted) or 0) if state.has_ranges else 0
            if (
                state.status != 200
                or start > len(state.content)
                or (wanted and start == len(state.content))
            ):
                self.send_error(state.status if state.status != 200 else 416)
                return
            self.send_response(206 if start else 200)
            body = state.content[start:]
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(state.content) - 1}/*")
            if state.has_length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.stop_after] if state.stop_after else body)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{running.server_port}/archive"
    thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    running.shutdown()
    thread.join()
    running.server_close()


def archive_at(server: Server) -> Archive:
    return replace(ARCHIVES["muxspace"], url=server.url)


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_download_is_unpacked_without_what_is_no_part_of_the_data_set(
    server: Server, tmp_path: Path
) -> None:
    target = download(archive_at(server), tmp_path / "deep" / "muxspace")
    assert names_in(tmp_path) == [
        "deep/muxspace/data/legend.csv",
        "deep/muxspace/images/A_0001.jpg",
        "deep/muxspace/images/B_0001.jpg",
    ]
    assert (target / "images" / "B_0001.jpg").read_bytes() == FILES["images/B_0001.jpg"]
    table = find(target, tmp_path / "cache")
    assert (table.name, table.identities.tolist()) == ("muxspace", ["A", "B"])
    assert server.asked == [""]


def test_the_commit_that_was_downloaded_is_told_with_the_data(server: Server, tmp_path: Path) -> None:
    server.content = pack(FILES, commit="0123456789" * 4)
    table = find(download(archive_at(server), tmp_path / "muxspace"), tmp_path / "cache")
    assert f"downloaded at commit {'0123456789' * 4}" in [str(note) for note in table.notes]


def test_progress_counts_megabytes_and_files(server: Server, tmp_path: Path) -> None:
    server.content = pack({**FILES, "images/C_0001.jpg": np.random.default_rng(0).bytes(5 << 19)})
    stages: list[tuple[str, int]] = []
    done: dict[str, int] = {}

    def progress(name: str, total: int) -> Advance:
        stages.append((name, total))

        def advance(count: int) -> None:
            done[name] = done.get(name, 0) + count

        return advance

    download(archive_at(server), tmp_path / "muxspace", progress)
    assert stages == [("downloading, MB", 3), ("unpacking, files", 0)]
    assert done == {"downloading, MB": 2, "unpacking, files": 4}


def break_off(server: Server, target: Path) -> int:
    """Lets a transfer break off halfway; returns the bytes that came."""
    server.stop_after = len(PACKED) // 2
    with pytest.raises(DataError, match=r"broke off \(.*\); run the same command again to resume$"):
        download(archive_at(server), target)
    server.stop_after = 0
    part = target.with_name("muxspace.tar.gz.part")
    assert names_in(target.parent) == [part.name]
    return part.stat().st_size


def test_a_broken_transfer_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    num_bytes = break_off(server, tmp_path / "muxspace")
    assert num_bytes == len(PACKED) // 2
    download(archive_at(server), tmp_path / "muxspace")
    assert server.asked == ["", f"bytes={num_bytes}-"]
    assert len(names_in(tmp_path)) == 3


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    break_off(server, tmp_path / "muxspace")
    server.has_ranges = False
    download(archive_at(server), tmp_path / "muxspace")
    assert len(names_in(tmp_path)) == 3


def test_a_rest_of_more_than_there_is_starts_over(server: Server, tmp_path: Path) -> None:
    (tmp_path / "muxspace.tar.gz.part").write_bytes(b"x" * (len(PACKED) + 5))
    download(archive_at(server), tmp_path / "muxspace")
    assert server.asked == [f"bytes={len(PACKED) + 5}-", ""]
    assert len(names_in(tmp_path)) == 3


def test_a_rest_of_another_version_is_found_out_and_deleted(server: Server, tmp_path: Path) -> None:
    (tmp_path / "muxspace.tar.gz.part").write_bytes(PACKED[:200] + b"x" * 100)
    with pytest.raises(DataError, match=r"is damaged \(.*\) and was deleted; run the same"):
        download(archive_at(server), tmp_path / "muxspace")
    assert list(tmp_path.iterdir()) == []
    download(archive_at(server), tmp_path / "muxspace")
    assert len(names_in(tmp_path)) == 3


@pytest.mark.parametrize(
    "content",
    [
        PACKED[: len(PACKED) // 2],
        PACKED[:-4],  # the files are whole, the checksum is not
        PACKED[:-8] + bytes(8),
        PACKED[:300] + bytes(40) + PACKED[340:],
        b"<html>not found</html>",
        b"",
    ],
    ids=["half", "no end", "wrong checksum", "overwritten", "no archive", "nothing"],
)
@pytest.mark.parametrize("has_length", [True, False])
def test_a_damaged_archive_leaves_nothing_behind(
    content: bytes, has_length: bool, server: Server, tmp_path: Path
) -> None:
    server.content, server.has_length = content, has_length
    with pytest.raises(DataError, match="is damaged"):
        download(archive_at(server), tmp_path / "muxspace")
    assert list(tmp_path.iterdir()) == []


def test_an_archive_of_something_else_is_refused(server: Server, tmp_path: Path) -> None:
    server.content = pack({"images/A_0001.jpg": b"x"})
    with pytest.raises(DataError, match="is not the expected data set and was deleted"):
        download(archive_at(server), tmp_path / "muxspace")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["images/../../../evil.jpg", "images/../../evil.jpg"])
def test_no_file_is_written_outside_the_target(name: str, server: Server, tmp_path: Path) -> None:
    server.content = pack({**FILES, name: b"evil"})
    with pytest.raises(DataError, match="is damaged"):
        download(archive_at(server), tmp_path / "deep" / "muxspace")
    assert names_in(tmp_path) == []


def test_links_in_an_archive_are_not_made(server: Server, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in FILES.items():
            entry = tarfile.TarInfo(f"top/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("top/images/link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    server.content = packed.getvalue()
    target = download(archive_at(server), tmp_path / "muxspace")
    assert not (target / "images" / "link.jpg").is_symlink()


def test_a_folder_that_is_there_is_left_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / "muxspace").mkdir()
    with pytest.raises(DataError, match=r"muxspace' already exists; pass another folder with --to"):
        download(archive_at(server), tmp_path / "muxspace")
    assert server.asked == []


@pytest.mark.parametrize(("status", "reason"), [(404, "Not Found"), (503, "Service Unavailable")])
def test_a_server_that_refuses_is_one_sentence(
    status: int, reason: str, server: Server, tmp_path: Path
) -> None:
    server.status = status
    with pytest.raises(DataError) as caught:
        download(archive_at(server), tmp_path / "muxspace")
    assert str(caught.value) == f"cannot download {server.url}: the server says {status} {reason}"
    assert list(tmp_path.iterdir()) == []


def test_no_connection_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/archive"
    with pytest.raises(DataError) as caught:
        download(replace(ARCHIVES["muxspace"], url=url), tmp_path / "muxspace")
    assert str(caught.value) == (
        f"cannot download {url}: Connection refused; without internet access, copy the data "
        "set here by other means and pass its folder with --data"
    )


def test_a_full_disk_is_one_sentence_and_what_came_is_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "extract", full)
        with pytest.raises(DataError) as caught:
            download(archive_at(server), tmp_path / "muxspace")
    assert str(caught.value) == (
        f"cannot write {str(tmp_path / 'muxspace')!r}: No space left on device; free space or pass "
        "another folder with --to"
    )
    assert names_in(tmp_path) == ["muxspace.tar.gz"]
    download(archive_at(server), tmp_path / "muxspace")
    assert server.asked == [""]
    assert len(names_in(tmp_path)) == 3


def test_a_folder_that_may_not_be_written_is_one_sentence(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"^cannot write '.*': .*; free space or pass another folder"):
        download(archive_at(server), tmp_path / "file" / "muxspace")


# ── the command line ──


def test_the_command_line_downloads_and_says_what_comes_next(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(ARCHIVES, "muxspace", archive_at(server))
    done = CliRunner().invoke(cli, ["data", "download", "muxspace"], catch_exceptions=False)
    folder = Path("data") / "muxspace"
    assert f"Downloaded to {folder}; check it with: fer-mlops data check {folder}" in done.output
    assert (tmp_path / folder / "data" / "legend.csv").is_file()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jaffe", "cannot download 'jaffe', only muxspace; get jaffe yourself: https://zenodo.org/"),
        ("nothing", "cannot download 'nothing', only muxspace"),
    ],
)
def test_what_cannot_be_downloaded_says_where_it_is(name: str, message: str) -> None:
    result = CliRunner().invoke(cli, ["data", "download", name])
    assert isinstance(result.exception, FerError)
    assert str(result.exception).startswith(message)


def test_the_list_of_data_sets_fits_80_columns_and_names_all(monkeypatch: pytest.MonkeyPatch) -> None:
    from fer_mlops.cli.output.screen import console
    from fer_mlops.data.datasets import DATASETS

    monkeypatch.setattr(console, "width", 80)
    output = CliRunner().invoke(cli, ["data", "list"], catch_exceptions=False).output
    assert all(len(line) <= 80 for line in output.splitlines())
    for dataset in DATASETS.values():
        assert re.search(rf"^ *{dataset.name}  ", output, re.MULTILINE)
        assert dataset.terms.split()[-1] in output
