import subprocess
import sys

from autoreg.tracking.provenance import git_commit, standard_tags


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_commit_of_the_repository_that_tracks_the_file(tmp_path):
    file = tmp_path / "a.py"
    file.write_text("1")
    git(tmp_path, "init")
    assert git_commit(file) is None  # inside a repository that does not track it
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-m", "a")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_commit(file) == commit
    file.write_text("2")
    assert git_commit(file) == commit + "-dirty"


def test_no_repository_and_no_folder(tmp_path):
    assert git_commit(tmp_path / "missing" / "a.py") is None


def test_tags_are_text_and_import_no_ray():
    code = (
        "import sys; from autoreg.tracking.provenance import standard_tags as t; tags = t(); "
        "assert 'ray' not in sys.modules; assert all(type(v) is str for v in tags.values()); print(sorted(tags))"
    )
    names = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    for name in ("version.autoreg", "version.torch", "version.ray", "version.python", "cpu_count", "threads"):
        assert name in names


def test_threads_follow_torch():
    import torch

    assert standard_tags()["threads"] == str(torch.get_num_threads())
