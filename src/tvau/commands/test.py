"""`tvau test`: LightningCLI's."""

from typing import Any


def test(*words: str) -> Any:
    """usage: tvau test --config FILE [options]

    Measures a checkpoint on the test videos and writes test.json into the results' folder.

      --config FILE            an experiment, such as configs/synthetic/heatmap.yaml; of several the later overrules
      --backbone LVLM          another LVLM: a preset of backbones/, a checkpoint folder, or a hub id
      --data.root FOLDER       the data set
      --data.batch_size N      clips at a time
      --data.num_workers N     processes that read video
      --data.limit N           at most so many videos of a split, evenly spaced
      --trainer.devices N      GPUs; --trainer.strategy=ddp splits the batches over them
      --trainer.default_root_dir FOLDER  for results
      --ckpt_path FILE         the checkpoint
      --trainer.logger ...     results are files of their own; log them too

    Every setting of a config is a flag: --model.KEY of the task, --data.KEY of the data, --trainer.KEY of Lightning's
    Trainer. --help-all lists them all.
    """
    from tvau.commands.lightning import run

    return run("test", words)
