"""`tvau predict`: LightningCLI's."""

from typing import Any


def predict(*words: str) -> Any:
    """usage: tvau predict --config FILE [options]

    Heatmaps, scores and a dialog for every video of a folder.

      --config FILE            configs/synthetic/predict.yaml
      --data.videos PATH       a video, a folder of frames, or a folder of videos
      --ckpt_path FILE         the checkpoint
      --questions TEXT ...     asked instead of the usual dialog
      --backbone LVLM          another LVLM: a preset of backbones/, a checkpoint folder, or a hub id

    Every setting of a config is a flag: --model.KEY of the task, --data.KEY of the data, --trainer.KEY of Lightning's
    Trainer. --help-all lists them all.
    """
    from tvau.commands.lightning import run

    return run("predict", words)
