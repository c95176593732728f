import pytest

from agad_tf.config import seconds
from agad_tf.config.seconds import Clock


@pytest.fixture
def after(monkeypatch):
    """Lets so many seconds pass."""
    now = [100.0]
    monkeypatch.setattr(seconds.time, "monotonic", lambda: now[0])

    def pass_by(duration):
        now[0] += duration

    return pass_by


def test_a_second_belongs_to_one_part_the_innermost(after):
    clock = Clock()
    after(1)
    with clock.within("steps"):
        after(2)
        with clock.within("scores"):
            after(4)
        after(8)
    after(16)
    assert clock.seconds_by_part() == {"other": 17, "steps": 10, "scores": 4}


def test_a_part_ends_with_what_went_wrong_in_it(after):
    clock = Clock()
    with pytest.raises(ZeroDivisionError), clock.within("steps"):
        after(2)
        _ = 1 / 0
    after(1)
    assert clock.seconds_by_part() == {"other": 1, "steps": 2}


def test_a_part_may_pass_into_another_and_ends_where_it_began(after):
    clock = Clock()
    with clock.within("first step"):
        after(1)
        clock.enter("steps")
        after(2)
    after(4)
    assert clock.seconds_by_part() == {"first step": 1, "steps": 2, "other": 4}


def test_what_came_before_counts_with_the_first_run_alone(after):
    clock = Clock()
    with clock.within("import"):
        after(3)
    clock.begin_run()
    after(1)
    assert clock.seconds_by_part() == {"import": 3, "other": 1}
    clock.begin_run()
    after(2)
    assert clock.seconds_by_part() == {"other": 2}
