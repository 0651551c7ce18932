"""What is no file cannot be read, and is missing."""

import os

from convnext_dense.data.check_files import missing_files


def test_what_no_file_has_is_missing(tmp_path):
    whole = tmp_path / "whole.jpg"
    whole.touch()
    (tmp_path / "link.jpg").symlink_to(whole)
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "nowhere.jpg").symlink_to("gone")
    (tmp_path / "itself.jpg").symlink_to("itself.jpg")
    (tmp_path / "endless.jpg").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.jpg")
    names = ["whole", "link", "folder", "nowhere", "itself", "endless", "pipe", "absent"]
    paths = [str(tmp_path / f"{name}.jpg") for name in names]
    assert missing_files(paths) == paths[2:]
    assert missing_files(["no/such/folder/a.jpg"]) == ["no/such/folder/a.jpg"]
