"""The dock widget *Fine-tune* in a real window, with a real process that trains."""

import json
import os
import re
import signal
from dataclasses import asdict, replace
from types import SimpleNamespace

import psutil
import pytest
import torch
from films import truth_of

from napari_surgisam.engine.registry import available_models
from napari_surgisam.plugin.finetune_data import LabelledPair, write_pairs
from napari_surgisam.plugin.model_chooser import ModelChooser
from napari_surgisam.training.clips import find_labelled, open_labelled

pytestmark = [pytest.mark.qt, pytest.mark.sam2]


@pytest.fixture
def bench(make_napari_viewer, qtbot, discs, add_film, tmp_path, monkeypatch):
    """A viewer with a film and its truth, the widget, and a small model to start from."""
    from napari_surgisam.engine.checkpoints import Checkpoint, write_checkpoint
    from napari_surgisam.engine.compact_network import CompactConfig, load_compact
    from napari_surgisam.engine.importing import import_checkpoint

    monkeypatch.setenv("SURGISAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    config = CompactConfig(
        image_size=64, trunk_channels=(8, 8, 16, 16), trunk_blocks=(1, 1, 1, 1), width=64,
        memory_layers=1, refine_blocks=1,
    )  # fmt: skip
    torch.manual_seed(0)
    state = load_compact(config, None).model.state_dict()
    write_checkpoint(
        tmp_path / "mini.safetensors", Checkpoint("compact", json.dumps(asdict(config)), 64, state)
    )
    import_checkpoint(tmp_path / "mini.safetensors")
    viewer = make_napari_viewer()
    film = add_film(viewer)
    labels = viewer.add_labels(truth_of(discs), name="truth", axis_labels=("time", "y", "x"))
    dock, widget = viewer.window.add_plugin_dock_widget("napari-surgisam", "Fine-tune")
    widget.models.set_value("mini")
    widget.fraction_box.setValue(0)
    widget.epochs_box.setValue(1)
    widget.samples_box.addItem("2")
    widget.samples_box.setCurrentText("2")
    bench = SimpleNamespace(viewer=viewer, widget=widget, film=film, labels=labels, dock=dock)
    bench.settle = lambda: qtbot.waitUntil(lambda: not widget.busy, timeout=120_000)
    yield bench
    process = widget.process
    viewer.close()
    process.close()


def test_layers_train_a_model_in_another_process(bench, qtbot):
    widget = bench.widget
    other = ModelChooser()
    qtbot.addWidget(other)
    assert not widget.start_button.isEnabled()
    widget.add_pair()
    assert widget.start_button.isEnabled()
    widget.run(check=True)
    bench.settle()
    assert "4 samples of 2 classes" in widget.plan_label.text()
    assert "s an epoch" in widget.plan_label.text()
    widget.run()
    bench.settle()
    assert "my-model is ready" in widget.line.message.text
    assert "my-model" in available_models()
    assert len(widget.plot.losses) == 1
    other.set_value("my-model")
    assert other.value() == "my-model"
    widget.run()
    assert "already" in widget.line.message.text
    ((words, start),) = widget.line.message.remedies
    assert words == "Start as “my-model-2”"
    start()
    assert widget.name_edit.text() == "my-model-2" and widget.busy
    widget.cancel()
    bench.settle()


def test_what_cannot_work_is_refused_in_words(bench):
    widget = bench.widget
    widget.fraction_box.setValue(0.2)
    widget.add_pair()
    widget.run(check=True)
    bench.settle()
    assert widget.line.message.kind == "error"
    assert "nothing would be left to validate" in widget.line.message.text


def test_what_was_chosen_is_chosen_again_at_the_next_start(bench):
    widget = bench.widget
    widget.recipe_box.textActivated.emit("lora")
    widget.samples_box.textActivated.emit("200")
    widget.epochs_box.setValue(7)
    widget.epochs_box.editingFinished.emit()
    bench.viewer.window.remove_dock_widget(bench.dock)
    _, again = bench.viewer.window.add_plugin_dock_widget("napari-surgisam", "Fine-tune")
    assert again is not widget
    chosen = (again.recipe_box.currentText(), again.samples_box.currentText())
    assert (*chosen, again.epochs_box.value()) == ("lora", "200", 7)


def test_a_folder_is_examined_before_and_after(bench, tmp_path):
    """Two films, one of them to validate on: the pictures show it."""
    widget = bench.widget
    pair = widget._pair(bench.film, bench.labels)
    write_pairs([pair, replace(pair, name="other")], tmp_path / "films")
    widget.add_folder(tmp_path / "films")
    widget.fraction_box.setValue(0.5)
    widget.run()
    bench.settle()
    assert "Validation DSC" in widget.line.message.text
    assert len(widget.plot.scores) == 2
    assert not widget.pictures.isHidden()


def test_a_killed_training_leaves_the_viewer_alive(bench, qtbot):
    widget = bench.widget
    widget.epochs_box.setValue(500)
    widget.add_pair()
    widget.run()
    qtbot.waitUntil(lambda: len(widget.plot.losses) > 2, timeout=120_000)
    assert re.match(r"step \d+ of \d+", widget.progress.text)
    os.kill(widget.process.pid, signal.SIGKILL)
    bench.settle()
    assert "was killed" in widget.line.message.text
    bench.viewer.dims.set_current_step(0, 3)
    assert widget.start_button.isEnabled()


def test_cancel_keeps_the_weights_and_closing_ends_the_process(bench, qtbot):
    widget = bench.widget
    widget.epochs_box.setValue(500)
    widget.add_pair()
    widget.run()
    qtbot.waitUntil(lambda: len(widget.plot.losses) > 2, timeout=120_000)
    widget.cancel()
    bench.settle()
    assert "Stopped" in widget.line.message.text
    assert "my-model" in available_models()
    widget.name_edit.setText("another")
    widget.run()
    qtbot.waitUntil(lambda: widget.process.pid > 0, timeout=60_000)
    pid = widget.process.pid
    bench.viewer.window.remove_dock_widget(bench.dock)
    qtbot.waitUntil(lambda: not psutil.pid_exists(pid), timeout=20_000)


def test_layers_are_written_as_they_are_shown(bench, tmp_path):
    pair = bench.widget._pair(bench.film, bench.labels)
    write_pairs([pair], tmp_path / "layers")
    (case,) = open_labelled(find_labelled([tmp_path / "layers"])).values()
    assert case.frames.temporal
    assert (case.frames.read(3) == pair.frames.read(3)).all()
    assert (case.truth.on(3) == truth_of_layer(pair)[3]).all()


def truth_of_layer(pair: LabelledPair):
    return pair.labels.read()


def test_the_form_and_the_shell_offer_all_recipes():
    from napari_surgisam.cli import finetune
    from napari_surgisam.plugin import finetune_form
    from napari_surgisam.training.recipes import RECIPES

    assert [name for name, _ in finetune_form.RECIPES] == list(RECIPES)
    assert finetune._RECIPES.split("|") == list(RECIPES)
