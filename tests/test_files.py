"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from tvau.files import whole


def test_a_file_that_was_whole_stays_when_writing_it_again_fails(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
