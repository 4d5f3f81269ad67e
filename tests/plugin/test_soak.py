"""A person who does random things for a while: nothing breaks, and nothing stays behind."""

import tempfile

import pytest
from persons import Person
from soaking import Soak
from watching import LIBRARIES, OURS, Watch, alive, thread_names

pytestmark = pytest.mark.qt

ACTIONS, SEED = 60, 1


def test_random_actions_leave_every_session_as_it_was_saved(
    make_napari_viewer, fake_network, tmp_path, monkeypatch
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    threads, before = thread_names(), alive(OURS)
    with Watch() as watch:
        person = Person(tmp_path, make_napari_viewer)
        soak = Soak(person, SEED)
        soak.act(ACTIONS)
        person.close_window()
        left = alive(OURS) - before
    assert not watch.errors
    assert min(soak.done[what] for what in ("meanwhile", "compared", "reopen")) > 0
    assert not left
    assert not set(thread_names() - threads) - set(LIBRARIES)
    assert not list(temporary.iterdir())
