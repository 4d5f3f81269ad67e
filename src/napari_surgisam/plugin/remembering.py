"""Choices that are the same again at the next start, in napari's preferences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qtpy.QtCore import QObject

from napari_surgisam.engine.plan import Plan
from napari_surgisam.engine.policy_names import POLICY_SUMMARIES
from napari_surgisam.plugin.advanced_panel import AdvancedPanel, Settings
from napari_surgisam.plugin.model_chooser import ModelChooser
from napari_surgisam.plugin.plan_widget import WAYS, PlanWidget
from napari_surgisam.plugin.preferences import remember, remembered

KEPT = ("focus", "policy", "device", "precision", "max_conditioning")
"""Settings that do not depend on the image; besides, the image size."""


class Remembering(QObject):
    """Shows what was chosen last, and notes what a person chooses.

    What a saved session brings along is shown only, never noted.

    Parameters
    ----------
    models : ModelChooser
    advanced : AdvancedPanel
    plan : PlanWidget
    """

    def __init__(self, models: ModelChooser, advanced: AdvancedPanel, plan: PlanWidget) -> None:
        super().__init__()
        self._models, self._advanced, self._plan = models, advanced, plan
        self._restore()
        self._seen = advanced.value()
        models.value_changed.connect(lambda name: remember("model", name))
        advanced.value_changed.connect(self._on_settings)
        plan.way_chosen.connect(lambda order: remember("way", order))

    def look(self) -> None:
        """Take the settings as they are now for what they were before the next change."""
        self._seen = self._advanced.value()

    def _restore(self) -> None:
        self._models.set_value(str(remembered("model", self._models.value())))
        usual = self._advanced.value()
        found: dict[str, Any] = {
            name: type(getattr(usual, name))(remembered(name, getattr(usual, name)))
            for name in KEPT
        }
        if found["policy"] not in POLICY_SUMMARIES:  # of another version
            found["policy"] = usual.policy
        size = int(remembered("image_size", 0))
        self._advanced.set_value(replace(usual, **found, image_size=size or None))
        way = remembered("way", WAYS[0][1])
        if way in {order for _, order, _ in WAYS}:
            self._plan.set_value(Plan(way, self._plan.value().span))

    def _on_settings(self, settings: Settings) -> None:
        before, self._seen = self._seen, settings
        for name in KEPT:
            if getattr(settings, name) != getattr(before, name):
                remember(name, getattr(settings, name))
        if settings.image_size != before.image_size:
            remember("image_size", settings.image_size or 0)
