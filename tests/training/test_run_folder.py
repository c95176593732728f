import pytest
from filelock import FileLock

from agad_tf.config.errors import RunError
from agad_tf.config.flags import to_flagfile
from agad_tf.data.sources import load_source
from agad_tf.files.workdir import Workdir
from agad_tf.training.run_folder import used_by_this_process_alone, write_set_up
from tests.runs import digits_run


def test_a_run_is_used_by_one_process_at_a_time(tmp_path):
    workdir = Workdir(tmp_path / "run")
    workdir.checkpoints.mkdir(parents=True)
    with (
        FileLock(workdir.lock),
        pytest.raises(RunError, match="Another process is using"),
        used_by_this_process_alone(workdir),
    ):
        pass
    with used_by_this_process_alone(workdir) as own:
        assert own == workdir


def test_the_flags_of_a_run_are_written_before_it_trains(tmp_path):
    config = digits_run(tmp_path)
    with used_by_this_process_alone(Workdir(tmp_path)) as workdir:
        write_set_up(workdir, config, load_source("digits"))
    assert (tmp_path / "config.cfg").read_text() == to_flagfile(config)
    # Images in memory are all read, or none is.
    assert not workdir.left_out.exists()
