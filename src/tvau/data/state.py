"""What tells that a video was replaced where it lies."""

from pathlib import Path


def state(path: Path) -> tuple[int, float]:
    """Bytes of a video file, or of the files of a frame folder, and when they last changed (seconds since the epoch).

    Raises:
        OSError: nothing is there.
    """
    own = path.stat()
    if not path.is_dir():
        return own.st_size, own.st_mtime
    files = [file.stat() for file in path.iterdir() if file.is_file()]  # a folder does not change as its files do
    return sum(file.st_size for file in files), max(each.st_mtime for each in (own, *files))
