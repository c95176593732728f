"""Labels as users have them: faults of whole kinds that users have met."""

import pytest
from absl import flags

from agad_tf.config.errors import RunError, UsageError
from agad_tf.config.flags import config_from_flags, define_flags, read_config, to_flagfile
from agad_tf.config.options import Unsaid
from agad_tf.data.sources import load_source
from tests.data.files import numbered, task_of, write


@pytest.fixture
def images(tmp_path):
    write(tmp_path, *numbered("a", 10), *numbered("b", 10))
    return tmp_path


def listed(folder, text, encoding="utf-8"):
    (folder / "list.csv").write_bytes(text.encode(encoding))
    return folder / "list.csv"


def rows(line, count=10):
    return "".join(line.format(f"{number:03d}.png") + "\n" for number in range(count))


def config_of(*given):
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    flag_values(["agad_tf", *given])
    return config_from_flags(flag_values)


# === Which class is normal ===


def test_labels_0_and_1_are_asked_about(images):
    path = listed(images, "path,label\n" + rows("a/{},0") + rows("b/{},1"))
    with pytest.raises(UsageError, match=r"Which class of .*list\.csv is normal\? Add --normal_class .* one of 0, 1"):
        task_of(path, config_of().normal_class, run=images)


@pytest.mark.parametrize("normal", ["0", "1"])
def test_labels_0_and_1_are_taken_as_the_user_says(images, normal):
    path = listed(images, "path,label\n" + rows("a/{},0") + rows("b/{},1"))
    source, task = task_of(path, config_of(f"--normal_class={normal}").normal_class, run=images)
    own = "a" if normal == "0" else "b"
    assert all(f"/{own}/" in name for name in task.train.images.paths)
    assert source.class_names == ("0", "1")


def test_folders_0_and_1_are_asked_about(tmp_path):
    write(tmp_path, *numbered("0", 10), *numbered("1", 10))
    with pytest.raises(UsageError, match="one of 0, 1"):
        task_of(tmp_path, config_of().normal_class)


def test_two_classes_that_are_both_called_normal_are_asked_about(tmp_path):
    write(tmp_path, *numbered("ok", 10), *numbered("good", 10))
    with pytest.raises(UsageError, match="one of good, ok"):
        task_of(tmp_path, config_of().normal_class)
    assert task_of(tmp_path, "ok")[0].class_names == ("good", "ok")


def test_a_class_that_is_called_normal_is_not_asked_about(tmp_path):
    write(tmp_path, *numbered("Good", 10), *numbered("1", 10))
    assert task_of(tmp_path, config_of().normal_class)[1].train.images.paths[0].count("/Good/") == 1


def test_what_was_answered_is_kept_in_the_run(tmp_path):
    config = config_of()
    assert isinstance(config.normal_class, Unsaid)
    (tmp_path / "config.cfg").write_text(to_flagfile(config))
    kept = read_config(tmp_path)
    assert (kept.normal_class, isinstance(kept.normal_class, Unsaid)) == (0, False)
    assert config.folder == config_of("--normal_class=0").folder


# === Labels that are missing, or two ===


@pytest.mark.parametrize("empty", ["", " ", '""'])
def test_labels_that_are_empty_are_refused(images, empty):
    path = listed(images, "path,label\n" + rows("a/{},good") + rows(f"b/{{}},{empty}", 3))
    with pytest.raises(UsageError, match=r"no label for 3 of 13 images, such as b/000\.png; fill them in"):
        load_source("folder", str(path), 16)


def test_labels_of_rows_without_a_path_are_refused(images):
    path = listed(images, "path,label\n" + rows("a/{},good") + ",bad\n")
    with pytest.raises(UsageError, match="1 rows without a path, the first with the label 'bad'"):
        load_source("folder", str(path), 16)


def test_labels_of_one_image_that_differ_are_refused(images):
    path = listed(images, "path,label\n" + rows("a/{},good") + "a/003.png,bad\n")
    with pytest.raises(UsageError, match=r"a/003\.png with the labels good and bad \(1 such images\)"):
        load_source("folder", str(path), 16)


# === Forms that are plain ===

FORMS = {
    "spaces": "path, label\n" + rows("a/{}, good") + rows("b/{} ,bad "),
    "semicolons": "path;label\n" + rows("a/{};good") + rows("b/{};bad"),
    "tabs": "path\tlabel\n" + rows("a/{}\tgood") + rows("b/{}\tbad"),
    "capitals": "Path,Label\n" + rows("a/{},good") + rows("b/{},bad"),
    "capitals of all": "PATH ; LABEL\n" + rows("a/{};good") + rows("b/{};bad"),
    "backslashes": "path,label\n" + rows("a\\{},good") + rows("b\\{},bad"),
    "backslashes with a dot": "path,label\n" + rows(".\\a\\{},good") + rows(".\\b\\{},bad"),
    "quotes": '"path", "label"\n' + rows('"a/{}", "good"') + rows('"b/{}", "bad"'),
    "a separator at the end": "path,label\n" + rows("a/{},good,") + rows("b/{},bad,"),
    "a spreadsheet's first line": "sep=;\npath;label\n" + rows("a/{};good") + rows("b/{};bad"),
    "empty lines": "\npath,label\n\n" + rows("a/{},good\n") + rows("b/{},bad"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_labels_in_every_plain_form_are_read(images, form, encoding, end):
    source = load_source("folder", str(listed(images, FORMS[form].replace("\n", end), encoding)), 16)
    assert source.class_names == ("good", "bad")
    assert (len(source.x_train), len(source.x_test)) == (8 + 5, 2 + 5)
    assert task_of(images / "list.csv", run=images)[0].left_out == {}


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_labels_of_images_with_umlauts_are_read(tmp_path, encoding):
    write(tmp_path, *numbered("größe", 10))
    path = listed(tmp_path, "path;label\n" + rows("größe/{};gut"), encoding)
    assert load_source("folder", str(path), 16, "gut").class_names == ("gut",)


def test_labels_in_a_column_of_another_name_are_asked_for_by_name(images):
    path = listed(images, "path;class\n" + rows("a/{};good"))
    with pytest.raises(UsageError, match="its columns are path, class"):
        load_source("folder", str(path), 16)


def test_labels_beside_paths_with_commas_are_told_to_be_quoted(images):
    path = listed(images, "path,label\n" + rows("a,{},good"))
    with pytest.raises(RunError, match=r"rows with more values than columns; put .* in quotes"):
        load_source("folder", str(path), 16)


def test_labels_in_two_columns_are_refused(images):
    path = listed(images, "path,Label,label\n" + rows("a/{},good,bad"))
    with pytest.raises(RunError, match="has the column label twice"):
        load_source("folder", str(path), 16)


# === The same class twice ===


@pytest.mark.parametrize(("normal", "labelled"), [(0, "good"), ("good", 0), ("good", "good"), (0, 0)])
def test_the_same_class_by_number_and_by_name_is_refused(tmp_path, normal, labelled):
    write(tmp_path, *numbered("good", 40), *numbered("bad", 20))
    with pytest.raises(UsageError, match=r"are the same class of .*, good; leave it out of --anomaly_classes"):
        task_of(tmp_path, normal, gamma=0.1, anomaly_classes=("bad", labelled))


def test_the_same_anomaly_class_by_number_and_by_name_counts_once(tmp_path):
    write(tmp_path, *numbered("good", 40), *numbered("bad", 20))
    _, once = task_of(tmp_path, "good", gamma=0.1, anomaly_classes=("bad",))
    _, twice = task_of(tmp_path, "good", gamma=0.1, anomaly_classes=("bad", 1))
    assert once.train.ids.tolist() == twice.train.ids.tolist()


# === Lists as tools write them ===


@pytest.mark.parametrize("spelling", ["./a/001.png", "b/../a/001.png", "link.png"])
def test_a_file_that_is_listed_with_two_labels_is_refused_however_it_is_spelled(images, spelling):
    (images / "link.png").symlink_to(images / "a" / "001.png")
    path = listed(images, "path,label\n" + rows("a/{},good") + rows("b/{},bad") + f"{spelling},bad\n")
    with pytest.raises(UsageError, match="with the labels good and bad"):
        load_source("folder", str(path), 16)


@pytest.mark.parametrize("nothing", ["NaN", "nan", "<NA>", "null", "#N/A"])
def test_labels_that_stand_for_none_are_no_class(images, nothing):
    path = listed(images, "path,label\n" + rows("a/{},good") + rows(f"b/{{}},{nothing}"))
    with pytest.raises(UsageError, match="has no label for 10 of 20 images, such as b/000"):
        load_source("folder", str(path), 16)


@pytest.mark.parametrize("named", ["normal", "abnormal"])
def test_a_label_may_be_minus_one(images, named):
    path = listed(images, "path,label\n" + rows("a/{},1") + rows("b/{},-1"))
    changes = {"normal": ["--normal_class=-1"], "abnormal": ["--normal_class=1", "--anomaly_classes=-1", "--gamma=0.1"]}
    config = config_of("--dataset=folder", f"--data_dir={path}", "--min_anomalies=1", *changes[named])
    _, task = task_of(
        path, config.normal_class, run=images, gamma=2 * config.gamma, anomaly_classes=config.anomaly_classes
    )
    folder = "b" if named == "normal" else "a"
    assert all(f"/{folder}/" in file for file in task.train.of_label(0).images.paths)


SPELLINGS = {
    "single quotes": "'path','label'\n" + rows("'a/{}','good'") + rows("'b/{}','bad'"),
    "separators at the end": "path,label\n" + rows("a/{},good,,") + rows("b/{},bad"),
    "a separator at some ends": "path,label\n" + rows("a/{},good") + rows("b/{},bad, "),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_list_is_read_however_it_is_spelled(images, spelling):
    source = load_source("folder", str(listed(images, SPELLINGS[spelling])), 16)
    assert source.class_names == ("good", "bad")


def test_paths_in_a_list_may_start_at_home(images, monkeypatch):
    monkeypatch.setenv("HOME", str(images))
    path = listed(images, "path,label\n" + rows("~/a/{},good") + rows("~/b/{},bad"))
    assert load_source("folder", str(path), 16).class_names == ("good", "bad")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-32"])
def test_a_list_in_another_encoding_is_told_which_to_use(images, encoding):
    with pytest.raises(RunError, match="is not text in UTF-8 or UTF-16; save it as CSV in UTF-8"):
        load_source("folder", str(listed(images, "path,label\n" + rows("a/{},good"), encoding)), 16)


def test_a_spreadsheet_is_told_to_be_saved_as_csv(tmp_path):
    (tmp_path / "list.xlsx").write_bytes(b"PK")
    with pytest.raises(UsageError, match="is a spreadsheet; save it as CSV"):
        load_source("folder", str(tmp_path / "list.xlsx"), 16)


@pytest.mark.parametrize("place", ["lists", "."])
def test_a_list_in_another_folder_than_its_paths_start_from_is_told_where_to_go(images, place):
    (images / "lists").mkdir()
    text = "path,label\n" + rows("a/{},good") + rows("b/{},bad")
    if place == ".":
        (images / "set").mkdir()
        for name in ("a", "b"):
            (images / name).rename(images / "set" / name)
    path = listed(images / place, text)
    below = images if place == "lists" else images / "set"
    with pytest.raises(RunError, match=rf"no such file \(20 such rows\); it is in {below}: move the CSV there\."):
        load_source("folder", str(path), 16)


def test_columns_that_are_not_used_are_said(images):
    path = listed(images, ",path,label,subset\n" + rows("0,a/{},good,train") + rows("0,b/{},bad,test"))
    assert "has columns that are not used: subset." in load_source("folder", str(path), 16).note


def test_a_folder_in_a_list_is_no_file_that_is_there(images):
    with pytest.raises(RunError, match="there is no such file"):
        load_source("folder", str(listed(images, "path,label\na,good\n")), 16)
