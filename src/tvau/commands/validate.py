"""`tvau validate`: LightningCLI's."""

from typing import Any


def validate(*words: str) -> Any:
    """usage: tvau validate --config FILE [options]

    Measures a checkpoint on the validation videos.

      --config FILE            an experiment, such as configs/synthetic/heatmap.yaml; of several the later overrules
      --backbone LVLM          another LVLM: a preset of backbones/, a checkpoint folder, or a hub id
      --data.root FOLDER       the data set
      --data.batch_size N      clips at a time
      --data.num_workers N     processes that read video
      --data.limit N           at most so many videos of a split, evenly spaced
      --trainer.devices N      GPUs; --trainer.strategy=ddp splits the batches over them
      --trainer.default_root_dir FOLDER  for results
      --ckpt_path FILE         the checkpoint

    Every setting of a config is a flag: --model.KEY of the task, --data.KEY of the data, --trainer.KEY of Lightning's
    Trainer. --help-all lists them all.
    """
    from tvau.commands.lightning import run

    return run("validate", words)
