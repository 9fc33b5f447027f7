"""How much of the time `tvau watch` works, and how late it is: processing time over video time.

    python benchmarks/watch.py                    # the model that comes with tvau, 25 frames a second, drawn scenes
    python benchmarks/watch.py --video street.ts --rate 5 --hop 4 --seconds 60

A server process on loopback sends the video over HTTP at its own pace (packets as they lie in the file, so that sending
costs next to nothing), and this process watches it. "busy" is the time in which the main thread worked over the time of
the video, "cpu" that of the processor in all threads of this process, decoding and writing included: below 1 the
machine keeps up. The delay of a score is from the moment at which its frame was decoded.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import av
import numpy as np

from tvau.cli import main as tvau
from tvau.conversation import load
from tvau.world import BENCHMARK, write

SERVER = """
import sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
data, seconds = open(sys.argv[1], "rb").read(), float(sys.argv[2])
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        begun, size = time.monotonic(), max(188, int(len(data) / seconds / 50) // 188 * 188)
        for at in range(0, len(data), size):
            self.wfile.write(data[at:at + size])
            time.sleep(max(0, begun + seconds * at / len(data) - time.monotonic()))
    def log_message(self, *_): pass
server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.handle_request()
"""


def drawn(folder: Path, seconds: float, size: tuple[int, int]) -> Path:
    """Scenes of the synthetic world in a row, each frame shown five times: 25 frames a second, as MPEG-TS."""
    videos = max(2, round(seconds / 12.8))  # an abnormal one for each normal one, 6.4 s each
    write(folder / "world", {"unseen_scenes": 2 * videos}, 7, size=size, progress=False, splits=BENCHMARK)
    path = folder / "scenes.ts"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "veryfast", "tune": "zerolatency"})
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = *size, "yuv420p", 25
        for video in sorted((folder / "world").glob("Scene*/*.mp4")):
            with av.open(str(video)) as source:
                for frame in source.decode(source.streams.video[0]):
                    picture = frame.to_ndarray(format="rgb24")
                    for _ in range(5):
                        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return path


@contextmanager
def served(path: Path) -> Iterator[tuple[str, float]]:
    """The address of a video that is sent once, and its seconds."""
    with av.open(str(path)) as container:
        seconds = float(container.duration or 0) / av.time_base
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(path), str(seconds)], stdout=subprocess.PIPE)
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/camera.ts", seconds
    finally:
        server.kill()
        server.wait()


def memory(most: list[float], done: threading.Event) -> None:
    """Notes the resident memory, MB, every second."""
    while not done.wait(1):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        most.append(pages * 4096 / 2**20)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="instead of drawn scenes; MPEG-TS")
    parser.add_argument("--seconds", type=float, default=50.0, help="of drawn scenes")
    parser.add_argument("--size", type=int, nargs=2, default=(360, 640), help="of drawn scenes, height and width")
    parser.add_argument("--rate", default="5")
    parser.add_argument("--hop", type=int, nargs="+", default=[4, 16])
    args = parser.parse_args()
    model = load()  # kept, so that loading is no part of the figures
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        video = args.video or drawn(folder, args.seconds, tuple(args.size))
        print(f"{'hop':>4} {'video s':>8} {'frames':>7} {'looked':>7} {'dropped':>8} {'events':>7} {'busy':>6} "
              f"{'cpu':>6} {'score delay s: half, 95 %':>28} {'alert delay':>14} {'MB: first, last':>14}")  # fmt: skip
        for hop in args.hop:
            with served(video) as (address, seconds), redirect_stdout(StringIO()) as alerts:
                used: list[float] = []
                done = threading.Event()
                threading.Thread(target=memory, args=(used, done), daemon=True).start()
                begun = time.process_time()
                said = tvau(["watch", address, "--out", str(folder / f"alerts{hop}"), "--rate", args.rate, "--hop",
                             str(hop), "--max-reconnects", "0"])  # fmt: skip
                cpu = time.process_time() - begun
                done.set()
            late = [json.loads(line) for line in alerts.getvalue().splitlines() if line.startswith("{")]
            delays = sorted(said.delays)
            text = f"{statistics.median(delays):.2f}, {np.quantile(delays, 0.95):.2f}"
            told = f"{np.median(said.alert_delays):.2f}" if said.alert_delays else "-"
            third = max(len(used) // 3, 1)
            flat = f"{max(used[:third], default=0):.0f}, {max(used[-third:], default=0):.0f}"
            print(f"{hop:4} {said.video:8.1f} {said.frames:7} {said.looked:7} {said.dropped:8} {len(late) // 2:7} "
                  f"{said.busy / said.video:6.3f} {cpu / seconds:6.3f} {text:>28} {told:>14} {flat:>16}")  # fmt: skip

    del model


if __name__ == "__main__":
    main()
