"""Models are fetched, imported, recognised and loaded; what is damaged never is."""

import hashlib
import json
import os
import pickle
import re
import resource
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from file_server import FileServer, serving
from safetensors.torch import save_file

from napari_surgisam.data.prompts import Point
from napari_surgisam.engine import importing
from napari_surgisam.engine.checkpoints import (
    Checkpoint,
    read_checkpoint,
    recognise,
    source_hash,
    write_checkpoint,
)
from napari_surgisam.engine.devices import choose_device, choose_precision, has_bfloat16
from napari_surgisam.engine.importing import import_checkpoint
from napari_surgisam.engine.models import (
    EMBEDDED,
    MODELS,
    ModelSpec,
    available_models,
    describe_model,
    fetch_checkpoint,
    fetch_job,
    load_network,
    weights_path,
)
from napari_surgisam.engine.network import Network, Query
from napari_surgisam.engine.policies import parse_policy
from napari_surgisam.errors import ModelError

CHUNK = 1 << 20
TINY = "sam2.1_hiera_tiny"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("SURGISAM_CACHE", str(folder))
    return folder


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as state:
        yield state


@pytest.fixture
def content() -> bytes:
    return np.random.default_rng(0).bytes(5 * CHUNK + 321)


@pytest.fixture
def spec(server: FileServer, content: bytes) -> ModelSpec:
    server.files["/tiny.pt"] = content
    return _served(server, "/tiny.pt", content)


def _served(server: FileServer, path: str, content: bytes) -> ModelSpec:
    return replace(
        MODELS[TINY],
        url=server.url + path,
        nbytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as Meta writes them, with random weights."""
    from napari_surgisam.engine.sam2_network import load_sam2

    torch.manual_seed(0)
    network = load_sam2(MODELS[TINY].config, None)
    path = tmp_path_factory.mktemp("checkpoints") / "sam2.1_hiera_tiny.pt"
    torch.save({"model": network.model.state_dict()}, path)
    return path


@pytest.fixture(scope="session")
def compact() -> Checkpoint:
    from dataclasses import asdict

    from napari_surgisam.engine.compact_network import CompactConfig, load_compact

    torch.manual_seed(0)
    config = CompactConfig(
        image_size=64, trunk_channels=(8, 8, 16, 16), trunk_blocks=(1, 1, 1, 1), width=64
    )
    state = load_compact(config, None).model.state_dict()
    return Checkpoint("compact", json.dumps(asdict(config)), 64, state)


def _clicked(network: Network) -> torch.Tensor:
    """Logits of the object at a click on a picture of a bright square."""
    image = torch.zeros(1, 3, 48, 64, dtype=torch.uint8)
    image[:, :, 10:30, 20:40] = 200
    with torch.no_grad():
        (embedding,) = network.embed(image)
        (prediction,) = network.segment(embedding, [Query(points=(Point(20, 30),))])
    return prediction.mask_logits.cpu()


# --- what exists ---------------------------------------------------------------------------


def test_all_official_sizes_are_known_with_address_size_and_hash():
    official = [spec for spec in MODELS.values() if spec.url]
    assert [spec.name for spec in official] == [
        f"{version}_hiera_{size}"
        for version in ("sam2.1", "sam2")
        for size in ("tiny", "small", "base_plus", "large")
    ]
    for spec in official:
        assert re.fullmatch(r"[0-9a-f]{64}", spec.sha256)
        assert 150e6 < spec.nbytes < 900e6
        assert spec.url.startswith("https://") and spec.url.endswith(f"/{spec.name}.pt")
        assert spec.licence == "Apache-2.0"
    assert len({spec.sha256 for spec in official}) == 8


@pytest.mark.sam2
@pytest.mark.parametrize("name", [name for name in MODELS if name != EMBEDDED])
def test_every_official_architecture_is_recognised_from_its_weights(name: str):
    import sam2.build_sam
    from hydra import compose
    from hydra.utils import instantiate

    del sam2
    model = instantiate(compose(config_name=MODELS[name].config).model)
    assert recognise(model.state_dict()) == MODELS[name].config


def test_an_unknown_model_is_refused_with_similar_names():
    with pytest.raises(ModelError, match=r"no model 'sam2\.1_tiny'.*sam2\.1_hiera_tiny"):
        load_network("sam2.1_tiny")


def test_a_model_that_is_not_here_says_how_to_get_it():
    with pytest.raises(ModelError, match=r"surgisam models fetch sam2\.1_hiera_tiny \(156 MB\)"):
        load_network(TINY)


@pytest.mark.sam2
def test_the_embedded_model_loads_without_any_download():
    assert _clicked(load_network(EMBEDDED, device="cpu", precision="float32")).isfinite().all()
    path = weights_path(MODELS[EMBEDDED])
    assert path is not None
    assert path.stat().st_size <= 16e6
    checkpoint = read_checkpoint(path)
    assert checkpoint.architecture == MODELS[EMBEDDED].architecture
    assert checkpoint.image_size == MODELS[EMBEDDED].image_size
    assert {v.dtype for v in checkpoint.state.values() if v.is_floating_point()} == {torch.float16}


# --- fetching ------------------------------------------------------------------------------


def test_a_fetched_model_is_whole_and_fetched_once(spec, server, content, cache):
    events = []
    path = fetch_checkpoint(spec, events.append)
    assert path.read_bytes() == content
    assert [(e.done, e.total) for e in events][-1] == (len(content), len(content))
    assert [e.done for e in events] == sorted(e.done for e in events)
    assert fetch_checkpoint(spec) == path
    assert server.ranges == [None]
    assert os.listdir(cache) == ["sam2.1_hiera_tiny.pt"]


def test_an_interrupted_download_is_kept_and_continued(spec, server, content, cache):
    server.break_after = 2 * CHUNK
    with pytest.raises(ModelError, match=r"broke off after 2,097,152 of 5,243,201 bytes"):
        fetch_checkpoint(spec)
    assert not (cache / spec.file).exists()
    server.break_after = None
    assert fetch_checkpoint(spec).read_bytes() == content
    assert server.ranges == [None, f"bytes={2 * CHUNK}-"]
    assert server.sent == len(content)  # no byte came twice


def test_a_cancelled_download_is_continued(spec, server, content):
    job = fetch_job(spec)
    while next(job).done < 3 * CHUNK:
        pass
    job.close()
    assert fetch_checkpoint(spec).read_bytes() == content
    assert server.ranges == [None, f"bytes={3 * CHUNK}-"]


def test_a_server_without_ranges_sends_everything_again(spec, server, content):
    server.break_after = 2 * CHUNK
    with pytest.raises(ModelError):
        fetch_checkpoint(spec)
    server.break_after, server.understands_ranges = None, False
    assert fetch_checkpoint(spec).read_bytes() == content


@pytest.mark.parametrize("announces_length", [True, False])
def test_a_truncated_file_on_the_server_is_refused_and_not_kept(
    spec, server, content, cache, announces_length
):
    server.files["/tiny.pt"] = content[: 3 * CHUNK]
    server.announces_length = announces_length
    if not announces_length:  # looks like an interruption until it is continued
        with pytest.raises(ModelError, match="broke off"):
            fetch_checkpoint(spec)
    with pytest.raises(ModelError, match=r"truncated or another file|holds less than"):
        fetch_checkpoint(spec)
    assert os.listdir(cache) == []


def test_a_file_of_another_hash_is_refused_and_not_kept(spec, server, content, cache):
    server.files["/tiny.pt"] = content[:-1] + bytes([content[-1] ^ 1])
    with pytest.raises(ModelError, match=r"does not have the SHA-256 .* removed"):
        fetch_checkpoint(spec)
    assert os.listdir(cache) == []
    server.files["/tiny.pt"] = content
    assert fetch_checkpoint(spec).read_bytes() == content


def test_a_damaged_file_in_the_cache_is_replaced(spec, server, content, cache):
    cache.mkdir()
    (cache / spec.file).write_bytes(content[:1000])
    assert fetch_checkpoint(spec).read_bytes() == content


def test_a_missing_file_and_a_silent_host_say_what_to_do_instead(spec, server):
    remedy = r"surgisam models import"
    with pytest.raises(ModelError, match=rf"answers 404 Not Found.*{remedy} gone\.pt"):
        fetch_checkpoint(replace(spec, url=f"{server.url}/gone.pt"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/tiny.pt"
        with pytest.raises(ModelError, match=rf"cannot be reached.*{remedy} tiny\.pt"):
            fetch_checkpoint(replace(spec, url=url))


def test_a_disk_that_takes_no_more_is_reported_with_a_remedy(spec, cache):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK, hard))  # bytes a file may have
    try:
        with pytest.raises(ModelError, match=r"Cannot write .*\.part: .*SURGISAM_CACHE"):
            fetch_checkpoint(spec)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (cache / spec.file).exists()


def test_a_second_process_does_not_write_into_the_same_download(spec):
    job = fetch_job(spec)
    next(job)
    with pytest.raises(ModelError, match="Another process is downloading"):
        fetch_checkpoint(spec)
    job.close()


@pytest.mark.sam2
def test_a_real_checkpoint_comes_over_http_and_segments(server, tiny_file):
    content = tiny_file.read_bytes()
    server.files["/sam2.1_hiera_tiny.pt"] = content
    fetch_checkpoint(_served(server, "/sam2.1_hiera_tiny.pt", content))
    network = load_network(TINY, device="cpu", precision="float32", image_size=128)
    assert (network.image_size, network.mask_size) == (128, 32)
    logits = _clicked(network)
    assert logits.shape == (32, 32) and logits.isfinite().all()


# --- importing -----------------------------------------------------------------------------


@pytest.mark.sam2
def test_an_imported_checkpoint_answers_as_the_file_does(tiny_file, tmp_path):
    own = tmp_path / "surgical.pt"
    own.write_bytes(tiny_file.read_bytes())
    spec = import_checkpoint(own)
    assert (spec.name, spec.config) == ("surgical", MODELS[TINY].config)
    assert available_models()["surgical"] == spec
    settings = {"device": "cpu", "precision": "float32", "image_size": 128}
    direct, by_name = load_network(own, **settings), load_network("surgical", **settings)
    assert torch.equal(_clicked(direct), _clicked(by_name))
    assert direct.encoder_fingerprint == by_name.encoder_fingerprint
    own.unlink()
    load_network("surgical", **settings)


@pytest.mark.sam2
def test_an_official_file_becomes_the_official_model(tiny_file, tmp_path, monkeypatch):
    sha256 = hashlib.sha256(tiny_file.read_bytes()).hexdigest()
    known = {**MODELS, TINY: replace(MODELS[TINY], sha256=sha256)}
    monkeypatch.setattr(importing, "MODELS", known)
    copy = tmp_path / "from a memory stick.pt"
    copy.write_bytes(tiny_file.read_bytes())
    assert import_checkpoint(copy) == known[TINY]
    assert list(available_models()) == list(MODELS)
    assert weights_path(MODELS[TINY]) is not None


@pytest.mark.sam2
def test_a_compact_model_is_written_read_and_imported_alike(compact, tmp_path, cache):
    path = tmp_path / "mine.safetensors"
    write_checkpoint(path, compact, {"licence": "CC0-1.0"})
    assert os.listdir(tmp_path) == ["mine.safetensors"]
    assert import_checkpoint(path).image_size == 64
    assert import_checkpoint(path).name == "mine"  # the same content again is no conflict
    first = load_network(path, device="cpu", precision="float32")
    second = load_network("mine", device="cpu", precision="float32")
    assert torch.equal(_clicked(first), _clicked(second))
    assert load_network("mine", device="cpu", image_size=96).image_size == 96


def test_the_encoder_fingerprint_follows_the_encoder_alone(compact):
    def changed(name: str) -> Checkpoint:
        state = {**compact.state, name: compact.state[name] + 1}
        return replace(compact, state=state)

    before = compact.encoder_fingerprint(64, torch.float32)
    assert changed("no_mem_embed").encoder_fingerprint(64, torch.float32) == before
    for name in ("image_encoder.trunk.stem.0.weight", "sam_mask_decoder.conv_s0.bias"):
        assert changed(name).encoder_fingerprint(64, torch.float32) != before
    assert compact.encoder_fingerprint(96, torch.float32) != before
    assert compact.encoder_fingerprint(64, torch.bfloat16) != before


class _Foreign:
    """Creates a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("trick", ["pickle", "torch"])
def test_a_file_that_would_run_code_is_not_opened(tmp_path, trick):
    trace, path = tmp_path / "trace", tmp_path / "malicious.pt"
    if trick == "torch":
        torch.save({"model": {"w": torch.zeros(1)}, "extra": _Foreign(trace)}, path)
    else:
        path.write_bytes(pickle.dumps(_Foreign(trace)))
    with pytest.raises(ModelError, match=r"malicious\.pt was not opened"):
        import_checkpoint(path)
    assert not trace.exists()


def _bad_files() -> dict[str, bytes]:
    whole = torch.zeros(1000)
    return {
        "empty.pt": b"",
        "page.pt": b"<!DOCTYPE html><title>404</title>",
        "pointer.pt": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "noise.pt": np.random.default_rng(1).bytes(4096),
        "noise.safetensors": np.random.default_rng(1).bytes(4096),
        "empty.safetensors": b"",
        "cut.pt": _torch_bytes({"model": {"w": whole}})[:2000],
        "cut.safetensors": _safetensors_bytes({"w": whole})[:2000],
        "list.pt": _torch_bytes([whole]),
        "nested.pt": _torch_bytes({"model": {"w": {"v": whole}}}),
        "other.pt": _torch_bytes({"model": {"conv.weight": whole}}),
        "other.safetensors": _safetensors_bytes({"conv.weight": whole}),
    }


def _torch_bytes(content: object) -> bytes:
    import io

    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _safetensors_bytes(state: dict[str, torch.Tensor]) -> bytes:
    from safetensors.torch import save

    return save(state)


@pytest.mark.parametrize("name", list(_bad_files()))
def test_a_file_that_is_no_model_is_refused_in_one_sentence(name, tmp_path, cache):
    path = tmp_path / name
    path.write_bytes(_bad_files()[name])
    with pytest.raises(ModelError) as caught:
        import_checkpoint(path)
    message = str(caught.value)
    assert name in message
    assert "\n" not in message and len(message) < 400
    assert not (cache / "imported.json").exists()


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        import_checkpoint(tmp_path / "nowhere.pt")
    with pytest.raises(ModelError, match="does not exist"):
        load_network(str(tmp_path / "nowhere.pt"))
    with pytest.raises(ModelError, match="is a folder"):
        import_checkpoint(tmp_path)


@pytest.mark.sam2
@pytest.mark.parametrize("fault", ["missing", "added", "reshaped"])
def test_weights_that_do_not_fit_their_network_are_refused(fault, tiny_file, tmp_path, cache):
    state = dict(read_checkpoint(tiny_file).state)
    if fault == "missing":
        del state["no_mem_embed"]
    elif fault == "added":
        state["adapter.weight"] = torch.zeros(1)
    else:
        state["no_mem_embed"] = torch.zeros(1, 1, 7)
    path = tmp_path / "odd.pt"
    torch.save({"model": state}, path)
    with pytest.raises(ModelError, match=r"odd\.pt do not fit its network: .*(no_mem|adapter)"):
        import_checkpoint(path)
    assert not cache.exists()


def test_a_description_from_another_version_is_refused(compact, tmp_path):
    path = tmp_path / "later.safetensors"
    save_file({"w": torch.zeros(1)}, path, metadata={"architecture": '"compact"', "config": "{}"})
    with pytest.raises(ModelError, match="another version"):
        import_checkpoint(path)
    write_checkpoint(path, replace(compact, architecture="holographic"))
    with pytest.raises(ModelError, match=r"does not describe its network|'holographic'"):
        import_checkpoint(path)


@pytest.mark.sam2
def test_a_name_that_is_taken_or_no_name_is_refused(compact, tmp_path):
    path = tmp_path / "mine.safetensors"
    write_checkpoint(path, compact)
    for name in (TINY, EMBEDDED):
        with pytest.raises(ModelError, match="another model"):
            import_checkpoint(path, name)
    for name in ("../mine", "", "a b", "-x"):
        with pytest.raises(ModelError, match=r"cannot be the name|mine"):
            import_checkpoint(path, name or ".hidden")
    import_checkpoint(path)
    state = {**compact.state, "no_mem_embed": compact.state["no_mem_embed"] + 1}
    write_checkpoint(path, replace(compact, state=state))
    with pytest.raises(ModelError, match=r"another model 'mine' already: .*--as"):
        import_checkpoint(path)
    assert import_checkpoint(path, "mine-2").name == "mine-2"


# --- models of the field -------------------------------------------------------------------

FIELD = {
    "surgsam2_2.1": ("sam2.1_hiera_s_endo18.pth", "configs/sam2.1/sam2.1_hiera_s.yaml", 512),
    "surgsam2_2.0": ("sam2_hiera_s_endo18.pth", "configs/sam2/sam2_hiera_s.yaml", 512),
    "surgisam2": ("Curated400_checkpoint_26.pt", "configs/sam2.1/sam2.1_hiera_b+.yaml", 1024),
    "medsam2": ("MedSAM2_latest.pt", "configs/sam2.1/sam2.1_hiera_t.yaml", 512),
}


@pytest.fixture(scope="session")
def published_file(tmp_path_factory: pytest.TempPathFactory):
    """Return a file with the keys of a configuration; its weights are zeros that take no room."""
    import sam2.build_sam
    from hydra import compose
    from hydra.utils import instantiate

    del sam2
    folder = tmp_path_factory.mktemp("published")

    def write(config: str) -> Path:
        path = folder / f"{config.replace('/', '-')}.pt"
        if not path.exists():
            state = instantiate(compose(config_name=config).model).state_dict()
            zero = torch.zeros(1)
            torch.save({"model": {k: zero.expand(v.shape) for k, v in state.items()}}, path)
        return path

    return write


def test_models_of_the_field_are_known_with_licence_citation_and_policy():
    field = {spec.name: spec for spec in MODELS.values() if spec.page}
    assert field.keys() == FIELD.keys()
    for name, (file, config, size) in FIELD.items():
        spec = field[name]
        assert (spec.config, spec.image_size) == (config, size)
        assert re.fullmatch(spec.published_as, file)
        assert re.search(r"arXiv:\d{4}\.\d{5}$", spec.citation)
        assert spec.licence
        assert parse_policy(spec.policy)
    assert field["surgsam2_2.1"].policy == field["surgsam2_2.0"].policy == "efficient-pruning"
    assert field["medsam2"].prompts == "box"
    assert field["medsam2"].licence == "CC-BY-SA-4.0"


@pytest.mark.sam2
@pytest.mark.parametrize("name", FIELD)
def test_a_published_file_is_known_by_its_name_and_keys(name, published_file, tmp_path, cache):
    file, config, size = FIELD[name]
    path = tmp_path / file
    path.symlink_to(published_file(config))
    assert describe_model(path) == MODELS[name]
    assert import_checkpoint(path) == MODELS[name]
    kept = weights_path(MODELS[name])
    assert kept is not None and kept.is_relative_to(cache)
    assert read_checkpoint(kept).image_size == size
    assert source_hash(kept) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert list(available_models()) == list(MODELS)
    assert import_checkpoint(path) == MODELS[name]  # the same again is no conflict


@pytest.mark.sam2
def test_a_file_of_another_name_becomes_what_it_is_said_to_be(published_file, tmp_path):
    path = tmp_path / "download (3).pt"
    path.symlink_to(published_file(FIELD["medsam2"][1]))
    assert describe_model(path) is None
    assert import_checkpoint(path, "medsam2") == MODELS["medsam2"]
    assert load_network("medsam2", device="cpu").image_size == 512
    with pytest.raises(ModelError, match=r"not surgisam2: by its keys it is .*hiera_t\.yaml, not"):
        import_checkpoint(path, "surgisam2")


@pytest.mark.sam2
def test_a_published_file_under_a_name_of_its_own_keeps_size_policy_and_citation(
    published_file, tmp_path
):
    file, config, size = FIELD["surgsam2_2.1"]
    path = tmp_path / file
    path.symlink_to(published_file(config))
    spec = import_checkpoint(path, "instruments")
    known = MODELS["surgsam2_2.1"]
    assert (spec.image_size, spec.policy, spec.citation) == (size, known.policy, known.citation)
    assert available_models()["instruments"] == spec
    assert describe_model("instruments") == spec
    assert weights_path(known) is None


@pytest.mark.sam2
def test_the_published_name_without_the_keys_is_not_enough(published_file, tmp_path):
    path = tmp_path / "MedSAM2_latest.pt"
    path.symlink_to(published_file(FIELD["surgsam2_2.0"][1]))
    assert describe_model(path) is None
    spec = import_checkpoint(path)
    assert (spec.name, spec.image_size, spec.policy) == ("MedSAM2_latest", 1024, "sam2")


@pytest.mark.sam2
def test_another_file_does_not_replace_a_published_model(published_file, tmp_path):
    whole = published_file(FIELD["medsam2"][1])
    state = dict(torch.load(whole)["model"])
    first, second = tmp_path / "MedSAM2_latest.pt", tmp_path / "MedSAM2_CTLesion.pt"
    first.symlink_to(whole)
    import_checkpoint(first)
    torch.save({"model": state | {"no_mem_embed": torch.ones(1, 1, 256)}}, second)
    with pytest.raises(ModelError, match=r"already there as medsam2.*--as NAME"):
        import_checkpoint(second)
    assert import_checkpoint(second, "lesions").prompts == "box"


def test_weights_without_an_address_say_where_they_are_given_out():
    with pytest.raises(ModelError, match=r"huggingface\.co/wanglab.* import FILE --as medsam2$"):
        load_network("medsam2")
    with pytest.raises(ModelError, match=r"import FILE --as surgisam2"):
        list(fetch_job("surgisam2"))


def test_a_damaged_list_of_imported_models_says_so(cache):
    cache.mkdir()
    (cache / "imported.json").write_text('[{"name": "x"')
    with pytest.raises(ModelError, match=r"imported\.json, is damaged"):
        available_models()


# --- device, precision, size ---------------------------------------------------------------


def test_auto_computes_in_bfloat16_only_where_the_processor_does():
    cpu = torch.device("cpu")
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file() and "flags" in cpuinfo.read_text():
        flags = set(cpuinfo.read_text().split())
        assert has_bfloat16(cpu) == bool(flags & {"amx_bf16", "avx512_bf16"})
    expected = torch.bfloat16 if has_bfloat16(cpu) else torch.float32
    assert choose_precision("auto", cpu) == expected
    assert choose_precision("float32", cpu) == torch.float32


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_auto_takes_the_gpu_and_its_bfloat16():
    device = choose_device()
    assert device.type == "cuda"
    assert has_bfloat16(device) == (torch.cuda.get_device_capability() >= (8, 0))


def test_an_impossible_device_precision_or_size_is_refused():
    with pytest.raises(ModelError, match=r"'cuda:99' is not available.*cpu"):
        choose_device("cuda:99")
    with pytest.raises(ModelError, match=r"'int4' is unknown.*bfloat16"):
        choose_precision("int4", torch.device("cpu"))
    for size in (0, 100, 8192, -64):
        with pytest.raises(ModelError, match="multiple of 32"):
            load_network(TINY, image_size=size)
