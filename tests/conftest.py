"""What all tests share: no network, one thread, and the real data where a machine has it."""

import os
import signal
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything imports transformers: a test never waits for a hub
os.environ.setdefault("MPLBACKEND", "agg")

import hypothesis
import pytest
import torch

from writers import frame_folder, video, world  # noqa: F401  (fixtures)

signal.signal(signal.SIGINT, signal.default_int_handler)  # commands in the background of a shell are deaf to Ctrl-C
# the same examples on every machine, and none that fails because the machine is busy
hypothesis.settings.register_profile("tvau", deadline=None, derandomize=True, database=None, max_examples=50)
hypothesis.settings.load_profile("tvau")
pytest.register_assert_rewrite("contract", "families")  # its asserts explain themselves as those of a test module do

ROOT = Path(__file__).parent.parent
torch.set_num_threads(1)  # pytest-xdist runs one process a core


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random Qwen2.5-VL; no test writes to it."""
    from tiny import write_checkpoint  # here, since it imports transformers, which most tests do without

    return write_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A folder with real data (`clips/`, `ucsd_ped2/`), never part of the repository. Skips where it is absent."""
    folder = Path(os.environ.get("TVAU_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set TVAU_REAL_DATA to a folder that holds clips/ and ucsd_ped2/")
    return folder
