import pytest

from agad_tf.config.errors import UsageError
from agad_tf.config.flagfiles import FLAGFILES, with_flagfiles


def expanded(*arguments):
    return with_flagfiles(["agad-tf", *arguments])[1:]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_flagfile_is_read_whatever_editor_wrote_it(tmp_path, encoding, end):
    path = tmp_path / "some.cfg"
    path.write_bytes(end.join(["# γ", "--gamma=0.1  ", "", "// no more", "--data_dir=Bücher"]).encode(encoding))
    assert expanded("--seed=1", f"--flagfile={path}", "--seed=2") == [
        *("--seed=1", "--gamma=0.1", "--data_dir=Bücher", "--seed=2")
    ]


@pytest.mark.parametrize("name", ["flags/fmnist.cfg", "fmnist.cfg", "paper/ancestors.cfg", "flags/paper/ancestors.cfg"])
def test_a_flagfile_of_the_package_is_found_from_anywhere(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert "--dataset=fashion_mnist" in expanded(f"--flagfile={name}")
    assert "--dataset=fashion_mnist" in expanded("--flagfile", name)


def test_a_flagfile_that_lies_where_it_is_typed_goes_before_the_packages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fmnist.cfg").write_text("--seed=7\n")
    assert expanded("--flagfile=fmnist.cfg") == ["--seed=7"]


def test_home_and_variables_in_the_path_of_a_flagfile_are_expanded(tmp_path, monkeypatch):
    (tmp_path / "x.cfg").write_text("--seed=7\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SETTINGS", str(tmp_path))
    assert expanded("--flagfile=~/x.cfg", "--flagfile=$SETTINGS/x.cfg") == ["--seed=7", "--seed=7"]


def test_flagfiles_in_flagfiles_are_read_and_a_circle_ends(tmp_path):
    inner, outer = tmp_path / "inner.cfg", tmp_path / "outer.cfg"
    inner.write_text(f"--seed=7\n--flagfile={outer}\n")
    outer.write_text(f"--flagfile={inner}\n--gamma=0\n")
    assert expanded(f"--flagfile={outer}") == ["--seed=7", "--gamma=0"]


def test_what_follows_two_dashes_is_left_alone():
    assert expanded("--", "--flagfile=x") == ["--", "--flagfile=x"]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("nowhere.cfg", "There is no flagfile 'nowhere.cfg'; .*digits.cfg"),
        ("", "There is no flagfile ''"),
        ("folder", "is a folder"),
        ("photo.cfg", "is not text"),
    ],
)
def test_what_is_no_flagfile_is_refused(tmp_path, monkeypatch, name, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "photo.cfg").write_bytes(b"\x89PNG\xff\x00")
    with pytest.raises(UsageError, match=complaint):
        expanded(f"--flagfile={name}")


def test_the_packages_flagfiles_are_there():
    assert {"digits.cfg", "folder.cfg"} <= {path.name for path in FLAGFILES.glob("*.cfg")}
