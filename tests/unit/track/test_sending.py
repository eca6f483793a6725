from pathlib import Path

from distrain.track.sending import files_below


def test_a_folder_s_files_each_have_their_place(tmp_path: Path) -> None:
    for name in ("a.txt", "sub/b.txt", "sub/deep/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    at_root = [place for _, place in files_below(tmp_path)]
    assert at_root == ["", "sub", "sub/deep"]
    assert [place for _, place in files_below(tmp_path, "kept")] == [
        "kept",
        "kept/sub",
        "kept/sub/deep",
    ]
