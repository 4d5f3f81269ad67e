"""Lists of classes of well-known datasets, to begin with."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from napari_surgisam.data.classes import COLOURS, RGB, ClassList, ObjectClass

_IN_FRONT = 1  # instruments lie before organs


def _classes(*entries: tuple[str, int, RGB | None]) -> ClassList:
    """Return a list of (name, priority, colour), labelled from 1; None takes the next colour."""
    return ClassList(
        tuple(
            ObjectClass(
                name, label, colour or COLOURS[(label - 1) % len(COLOURS)], priority=priority
            )
            for label, (name, priority, colour) in enumerate(entries, start=1)
        )
    )


def _alike(*names: str, priority: int = 0) -> ClassList:
    return _classes(*((name, priority, None) for name in names))


PRESETS: Mapping[str, ClassList] = MappingProxyType(
    {
        "Cholec80 instruments": _alike(
            *("grasper", "bipolar", "hook", "scissors", "clipper", "irrigator", "specimen bag"),
            priority=_IN_FRONT,
        ),
        "CholecSeg8k organs and instruments": _classes(
            ("abdominal wall", 0, (210, 140, 140)),
            ("liver", 0, (180, 80, 60)),
            ("gastrointestinal tract", 0, (240, 170, 150)),
            ("fat", 0, (250, 220, 110)),
            ("grasper", _IN_FRONT, (0, 184, 242)),
            ("connective tissue", 0, (220, 200, 180)),
            ("blood", 0, (200, 0, 30)),
            ("cystic duct", 0, (80, 170, 80)),
            ("L-hook electrocautery", _IN_FRONT, (115, 128, 255)),
            ("gallbladder", 0, (51, 217, 115)),
            ("hepatic vein", 0, (90, 60, 170)),
            ("liver ligament", 0, (242, 89, 191)),
        ),
        "EndoVis 2017 instruments": _alike(
            *("Bipolar Forceps", "Prograsp Forceps", "Large Needle Driver", "Vessel Sealer"),
            *("Grasping Retractor", "Monopolar Curved Scissors", "Other"),
            priority=_IN_FRONT,
        ),
        "EndoVis 2018 instruments": _alike(
            *("Bipolar Forceps", "Prograsp Forceps", "Large Needle Driver"),
            *("Monopolar Curved Scissors", "Ultrasound Probe", "Suction Instrument"),
            "Clip Applier",
            priority=_IN_FRONT,
        ),
        "EndoVis 2018 scene": _classes(
            ("instrument shaft", _IN_FRONT, (0, 184, 242)),
            ("instrument clasper", _IN_FRONT, (153, 242, 242)),
            ("instrument wrist", _IN_FRONT, (115, 128, 255)),
            ("kidney parenchyma", 0, (180, 80, 60)),
            ("covered kidney", 0, (250, 220, 110)),
            ("thread", 2, (51, 217, 115)),
            ("clamps", _IN_FRONT, (242, 89, 191)),
            ("suturing needle", 2, (255, 255, 255)),
            ("suction instrument", _IN_FRONT, (140, 90, 200)),
            ("small intestine", 0, (240, 170, 150)),
            ("ultrasound probe", _IN_FRONT, (178, 132, 90)),
        ),
        "Abdominal CT organs (AMOS)": _classes(
            ("spleen", 0, (157, 108, 162)),
            ("right kidney", 0, (185, 102, 83)),
            ("left kidney", 0, (215, 130, 100)),
            ("gallbladder", 0, (139, 150, 98)),
            ("oesophagus", 0, (211, 171, 143)),
            ("liver", 0, (221, 130, 101)),
            ("stomach", 0, (216, 132, 105)),
            ("aorta", 0, (224, 97, 76)),
            ("inferior vena cava", 0, (0, 151, 206)),
            ("pancreas", 0, (249, 180, 111)),
            ("right adrenal gland", 0, (249, 186, 150)),
            ("left adrenal gland", 0, (244, 214, 49)),
            ("duodenum", 0, (255, 253, 229)),
            ("bladder", 0, (222, 154, 132)),
            ("prostate or uterus", 0, (230, 158, 140)),
        ),
        "Cells": _classes(
            ("cell", 0, (51, 217, 115)),
            ("nucleus", 1, (115, 128, 255)),
            ("mitotic nucleus", 2, (250, 235, 77)),
            ("dead cell", 0, (242, 102, 64)),
            ("debris", 0, (160, 160, 160)),
        ),
    }
)
"""By what a person calls them. Labels are those of the dataset, where it has any."""
