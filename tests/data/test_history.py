"""Undo and redo over plain numbers."""

from napari_surgisam.data.history import History


def test_steps_are_taken_back_and_again():
    history = History(0)
    for value in (1, 2, 3):
        history.edit(value)
    assert [history.undo() and history.value for _ in range(3)] == [2, 1, 0]
    assert not history.undo()
    assert [history.redo() and history.value for _ in range(3)] == [1, 2, 3]
    assert not history.redo()


def test_an_amended_value_belongs_to_the_last_step():
    history = History(0)
    history.edit(1)
    history.amend(2)
    history.undo()
    assert history.value == 0
    history.redo()
    assert history.value == 2


def test_a_new_step_forgets_the_future_and_the_past_is_bounded():
    history = History(0, depth=3)
    for value in range(1, 10):
        history.edit(value)
    history.undo()
    history.edit(99)
    assert not history.can_redo
    while history.undo():
        pass
    assert history.value == 6
    assert not history.can_undo
