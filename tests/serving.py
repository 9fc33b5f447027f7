"""Real servers on loopback: HTTP that paces, cuts and stalls, and RTSP."""

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream

CHUNK = 188 * 7  # bytes; whole packets of MPEG-TS


def write_stream(
    path: Path, frames: int = 50, size: tuple[int, int] = (96, 160), rate: int = 25, pixels: str = "yuv420p",
    codec: str = "libx264", level: int = 5,
) -> Path:  # fmt: skip
    """A video whose frame n has gray level 16 + level * n (modulo 200) on its left half, key frames twice a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "tune": "zerolatency"} if codec == "libx264" else {}
        stream = cast(VideoStream, container.add_stream(codec, rate=rate, options=options))
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = *size, pixels, max(1, rate // 2)
        for number in range(frames):
            picture = np.full((*size, 3), 128, np.uint8)
            picture[:, : size[1] // 2] = 16 + level * number % 200
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame.reformat(format=pixels)))
        container.mux(stream.encode())
    return path


@contextmanager
def http(*bodies: Path, seconds: float = 0.0, stall: bool = False) -> Iterator[str]:
    """An address from which each connection gets the next of the files, the last one none: refused.

    Args:
        bodies: what the first, second, ... connection gets.
        seconds: over which a file is spread.
        stall: keep the connection open, and silent, behind the last file.
    """
    left, closing = list(bodies), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not left:
                self.send_error(503)
                return
            data = left.pop(0).read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            begun = time.monotonic()
            try:
                for at in range(0, len(data), CHUNK):
                    self.wfile.write(data[at : at + CHUNK])
                    ahead = begun + seconds * (at + CHUNK) / len(data) - time.monotonic()
                    if ahead > 0.02:
                        time.sleep(ahead)
                if stall and not left:
                    closing.wait(30)
            except OSError:  # the other side has gone
                pass

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/camera.ts"
    finally:
        closing.set()
        server.shutdown()
        server.server_close()


SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n"


@contextmanager
def rtsp(path: Path) -> Iterator[str]:
    """An RTSP address (RFC 2326) that plays an MPEG-TS file once, over the connection itself, at its own pace."""
    listening = socket.create_server(("127.0.0.1", 0))
    address = f"rtsp://127.0.0.1:{listening.getsockname()[1]}/camera"

    def answer(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            while line := lines.readline():
                method, heads = line.split(b" ")[0].decode(), {}
                while head := lines.readline().strip().decode():
                    name, _, value = head.partition(": ")
                    heads[name.lower()] = value
                body = SDP if method == "DESCRIBE" else ""
                more = {
                    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
                    "DESCRIBE": f"Content-Base: {address}/\r\nContent-Type: application/sdp\r\n",
                    "SETUP": f"Transport: {heads.get('transport', '')}\r\nSession: 1\r\n", "PLAY": "Session: 1\r\n",
                }.get(method, "")  # fmt: skip
                said = f"RTSP/1.0 200 OK\r\nCSeq: {heads['cseq']}\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}"
                connection.sendall(said.encode())
                if method == "PLAY":
                    play(connection)
                    return

    def play(connection: socket.socket) -> None:
        """Packets of RTP (RFC 3550), seven of MPEG-TS in each, interleaved (RFC 2326, 10.12)."""
        data, begun = path.read_bytes(), time.monotonic()
        with av.open(str(path)) as container:
            seconds = float(container.duration or 0) / av.time_base
        for number, at in enumerate(range(0, len(data), CHUNK)):
            due = seconds * at / len(data)
            time.sleep(max(0.0, begun + due - time.monotonic()))
            stamp = int(due * 90_000)
            packet = bytes([0x80, 33]) + number.to_bytes(2) + stamp.to_bytes(4) + bytes(4) + data[at : at + CHUNK]
            connection.sendall(b"$\0" + len(packet).to_bytes(2) + packet)

    def serve() -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=guarded, args=(connection,), daemon=True).start()

    def guarded(connection: socket.socket) -> None:
        with suppress(OSError):
            answer(connection)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield address
    finally:
        listening.close()


def joined(path: Path, parts: Sequence[Path]) -> Path:
    """MPEG-TS files one behind the other, as a camera that is set anew sends them."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path
