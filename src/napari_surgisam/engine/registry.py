"""Which models exist: those that every installation knows, and those a user imported."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

from napari_surgisam.errors import ModelError
from napari_surgisam.resources import WEIGHTS

CACHE_VARIABLE = "SURGISAM_CACHE"
EMBEDDED = "embedded"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model that can be used by name.

    Parameters
    ----------
    name : str
    architecture : str
        ``sam2`` or ``compact``.
    config : str
        For ``sam2``, the name of a configuration that ships with sam2.
    image_size : int
        Side of the square that frames are resized to unless told, in pixels.
    file : str
        File name of the weights, in the package (`EMBEDDED`) or in the cache.
    nbytes : int
        Size of that file; 0 for the embedded model, which is there already.
    sha256 : str
        In hexadecimal digits; empty for the embedded model.
    url : str
        Where the weights can be downloaded; empty where they cannot.
    licence, citation, note : str
        Licence of the weights as SPDX, how to cite them, and what to know in a line.
    policy : str
        Memory policy that the weights were made with; see `engine.policies.parse_policy`.
    prompts : {"", "box"}
        The only prompts that the weights were trained with, where they are so choosy.
    page, published_as : str
        Where the makers of weights without a fixed address give them out, and a regular
        expression of the file's name there, by which an imported file is known.
    """

    name: str
    architecture: str
    config: str
    image_size: int
    file: str
    nbytes: int = 0
    sha256: str = ""
    url: str = ""
    licence: str = ""
    citation: str = ""
    note: str = ""
    policy: str = "sam2"
    prompts: str = ""
    page: str = ""
    published_as: str = ""


def _sam2(file: str, version: str, config: str, nbytes: int, sha256: str, note: str) -> ModelSpec:
    release = {"sam2.1": "092824", "sam2": "072824"}[version]
    return ModelSpec(
        name=file.removesuffix(".pt"),
        architecture="sam2",
        config=f"configs/{version}/{version}_hiera_{config}.yaml",
        image_size=1024,
        file=file,
        nbytes=nbytes,
        sha256=sha256,
        url=f"https://dl.fbaipublicfiles.com/segment_anything_2/{release}/{file}",
        licence="Apache-2.0",
        citation="Ravi et al., SAM 2: Segment Anything in Images and Videos, arXiv:2408.00714",
        note=note,
    )


# fmt: off
_ALL = (
    ModelSpec(
        name=EMBEDDED, architecture="compact", config="", image_size=256,
        file="embedded.safetensors", licence="BSD-3-Clause",
        citation="napari-surgisam, docs/models.md",
        note="ships with the package; trained on synthetic clips alone",
    ),
    _sam2("sam2.1_hiera_tiny.pt", "sam2.1", "t", 156_008_466,
          "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
          "38.9 M parameters; the one to try first"),
    _sam2("sam2.1_hiera_small.pt", "sam2.1", "s", 184_416_285,
          "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
          "46 M parameters"),
    _sam2("sam2.1_hiera_base_plus.pt", "sam2.1", "b+", 323_606_802,
          "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
          "80.8 M parameters"),
    _sam2("sam2.1_hiera_large.pt", "sam2.1", "l", 898_083_611,
          "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
          "224.4 M parameters; wants a GPU"),
    _sam2("sam2_hiera_tiny.pt", "sam2", "t", 155_906_050,
          "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
          "38.9 M parameters; first release"),
    _sam2("sam2_hiera_small.pt", "sam2", "s", 184_309_650,
          "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
          "46 M parameters; first release"),
    _sam2("sam2_hiera_base_plus.pt", "sam2", "b+", 323_493_298,
          "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
          "80.8 M parameters; first release"),
    _sam2("sam2_hiera_large.pt", "sam2", "l", 897_952_466,
          "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
          "224.4 M parameters; first release; wants a GPU"),
    *(
        ModelSpec(
            name=f"surgsam2_{version}", architecture="sam2",
            config=f"configs/{release}/{release}_hiera_s.yaml", image_size=512,
            file=f"field/surgsam2_{version}.safetensors", policy="efficient-pruning",
            licence="NOASSERTION",
            citation="Liu et al., Surgical SAM 2: Real-time Segment Anything in Surgical Video by "
            "Efficient Frame Pruning, arXiv:2408.07931",
            note=f"SurgSAM-2: instruments of EndoVis 2018, on SAM {version} small",
            page="https://github.com/jinlab-imvr/Surgical-SAM-2",
            published_as=rf"{re.escape(release)}_hiera_s_endo18\.pth?",
        )
        for version, release in (("2.1", "sam2.1"), ("2.0", "sam2"))
    ),
    ModelSpec(
        name="surgisam2", architecture="sam2", config="configs/sam2.1/sam2.1_hiera_b+.yaml",
        image_size=1024, file="field/surgisam2.safetensors", licence="NOASSERTION",
        citation="Kamtam et al., SurgiSAM2: Fine-tuning a foundational model for surgical video "
        "anatomy segmentation and detection, arXiv:2503.03942",
        note="organs and tissues in laparoscopy, on SAM 2.1 base-plus",
        page="https://github.com/Devanish31/SurgiSAM2 (figshare 28489961)",
        published_as=r"Curated(100|400)_checkpoint\w*\.pth?",
    ),
    ModelSpec(
        name="medsam2", architecture="sam2", config="configs/sam2.1/sam2.1_hiera_t.yaml",
        image_size=512, file="field/medsam2.safetensors", licence="CC-BY-SA-4.0",
        citation="Ma et al., MedSAM2: Segment Anything in 3D Medical Images and Videos, "
        "arXiv:2504.03600",
        note="CT, MR, PET, ultrasound and endoscopy, on SAM 2.1 tiny; prompt it with boxes",
        prompts="box", page="https://huggingface.co/wanglab/MedSAM2",
        published_as=r"MedSAM2_(latest|2411|US_Heart|MRI_LiverLesion|CTLesion)\.pth?",
    ),
)
# fmt: on

MODELS: Mapping[str, ModelSpec] = MappingProxyType({spec.name: spec for spec in _ALL})
"""The models that every installation knows, by name."""


def cache_folder() -> Path:
    """Return where downloaded and imported models are kept.

    ``SURGISAM_CACHE`` overrides the operating system's folder for caches.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("napari-surgisam"))


def available_models() -> dict[str, ModelSpec]:
    """Return the known and the imported models by name.

    Raises
    ------
    ModelError
        If the list of imported models is damaged.
    """
    return {**MODELS, **_imported()}


def model_spec(name: str) -> ModelSpec:
    """Return the model of a name.

    Raises
    ------
    ModelError
        If there is none; the message proposes similar names.
    """
    models = available_models()
    if name in models:
        return models[name]
    close = difflib.get_close_matches(name, models, n=3, cutoff=0.5)
    proposal = f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(models)}."
    raise ModelError(f"There is no model {name!r}, nor a file of that name. {proposal}")


def weights_path(spec: ModelSpec) -> Path | None:
    """Return the path of a model's weights, or None where they are not on this machine."""
    folder = WEIGHTS if spec.name == EMBEDDED else cache_folder()
    path = folder / spec.file
    return path if path.is_file() else None


def published_model(file: str, config: str) -> ModelSpec | None:
    """Return the model of the field that a file is, by the name its makers gave it and its keys.

    Parameters
    ----------
    file : str
        Name of the file, without folders.
    config : str
        The sam2 configuration that its weights belong to.
    """
    for spec in MODELS.values():
        if spec.published_as and re.fullmatch(spec.published_as, file) and spec.config == config:
            return spec
    return None


def check_new_name(name: str, sha256: str) -> None:
    """Check that a model of this content may be imported under a name.

    Raises
    ------
    ModelError
        If it is not a name, or another model has it.
    """
    if not _NAME.fullmatch(name):
        raise ModelError(
            f"{name!r} cannot be the name of a model: use letters, digits, dots, hyphens and "
            "underscores, as in --as my-model."
        )
    taken = available_models().get(name)
    if taken is not None and taken.sha256 != sha256:
        raise ModelError(f"There is another model {name!r} already: choose a name with --as NAME.")


def register(spec: ModelSpec) -> None:
    """Remember an imported model, replacing one of the same name.

    Raises
    ------
    ModelError
        If the list of imported models is damaged or cannot be written.
    """
    from filelock import FileLock

    path = _registry()
    part = path.with_name(f"{path.name}.part")
    try:
        with FileLock(f"{path}.lock"):
            entries = [asdict(known) for known in {**_imported(), spec.name: spec}.values()]
            part.write_text(json.dumps(entries, indent=2), encoding="utf-8")
            part.replace(path)
    except OSError as error:
        raise ModelError(f"Cannot write {path}: {error.strerror}.") from error


def _registry() -> Path:
    return cache_folder() / "imported.json"


def _imported() -> dict[str, ModelSpec]:
    path = _registry()
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {entry["name"]: ModelSpec(**entry) for entry in entries}
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise ModelError(
            f"The list of imported models, {path}, is damaged ({error}): delete it and import "
            "the models again."
        ) from error
