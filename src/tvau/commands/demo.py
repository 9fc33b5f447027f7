"""`tvau demo`: something to see within a minute of the installation."""

import json
from pathlib import Path

CLIPS = {"unseen_scenes": 2, "open_set": 2}  # of each split a normal video and an abnormal one, in fair light


def demo(out: str = "tvau-demo", seed: int = 7, overwrite: bool = False) -> None:
    """Draws four short videos and shows what the model that comes with tvau sees in them and says about them.

    Two are normal; one shows an anomaly of a kind that the model was trained on, in a scene that it never saw, and one
    an anomaly of a kind that it was never trained on. Overlay, events and dialog of each stand in its folder; begin
    with index.html.

    Args:
        out: folder for the videos and the results.
        seed: of the videos; another one gives others.
        overwrite: do videos again that were done before.
    """
    from tvau.commands.predict import predict
    from tvau.world import BENCHMARK, write

    world, results = Path(out) / f"world_{seed}", Path(out) / f"results_{seed}"
    write(world, CLIPS, seed, workers=2, splits=BENCHMARK)
    videos = sorted(world.glob("Scene*/*.mp4"))
    predict(*map(str, videos), f"--out={results}", *["--overwrite"] * overwrite)
    truth = json.loads((world / "world.json").read_text())["videos"]
    print("\nTrue kind, highest score of a frame (0 to 1), and where to look:")
    for video in videos:
        summary = json.loads((results / video.stem / "summary.json").read_text())
        page = results / video.stem / "index.html"
        print(f"  {truth[video.stem]['kind'] or 'normal':16} {summary['highest']['score']:.2f}  {page}")
