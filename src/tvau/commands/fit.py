"""`tvau fit`: LightningCLI's."""

from typing import Any


def fit(*words: str) -> Any:
    """usage: tvau fit --config FILE [options]

    Trains: stage 1 (heatmap.yaml), stage 2 on its maps (dialog.yaml), or a baseline.

      --config FILE            an experiment, such as configs/synthetic/heatmap.yaml; of several the later overrules
      --backbone LVLM          another LVLM: a preset of backbones/, a checkpoint folder, or a hub id
      --data.root FOLDER       the data set
      --data.batch_size N      clips at a time
      --data.num_workers N     processes that read video
      --data.limit N           at most so many videos of a split, evenly spaced
      --trainer.devices N      GPUs; --trainer.strategy=ddp splits the batches over them
      --trainer.default_root_dir FOLDER  for results
      --model.heatmap FILE     stage 2: the checkpoint of stage 1
      --ckpt_path FILE         go on with an interrupted training
      --seed_everything N      of everything that is random
      --trainer.max_epochs N   length of the training
      --model.learning_rate X  of AdamW
      --print_config           shows all settings and ends

    Every setting of a config is a flag: --model.KEY of the task, --data.KEY of the data, --trainer.KEY of Lightning's
    Trainer. --help-all lists them all.
    """
    from tvau.commands.lightning import run

    return run("fit", words)
