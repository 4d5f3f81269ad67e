"""Where to compute, and in which precision: what the hardware does best unless told."""

from __future__ import annotations

from pathlib import Path

import torch

from napari_surgisam.errors import DeviceError, ModelError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def choose_device(device: str = "auto") -> torch.device:
    """Return the device to compute on.

    Parameters
    ----------
    device : str
        ``auto`` (cuda, else mps, else cpu), or torch's name of a device, as ``cuda:1``.

    Raises
    ------
    ModelError
        If the device does not exist here.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    here = ["auto", "cpu"]
    if torch.backends.mps.is_available():
        here.append("mps")
    if torch.cuda.is_available():
        here += ["cuda", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
    if device not in here:
        raise DeviceError(
            f"Device {device!r} is not available on this machine: use one of {', '.join(here)}."
        )
    return torch.device(device)


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the precision to compute in.

    Parameters
    ----------
    precision : str
        ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the hardware multiplies in it
        (CUDA from compute capability 8.0, a CPU with AMX or AVX512-BF16), else float32.
    device : torch.device

    Raises
    ------
    ModelError
        If the name is none of these.
    """
    if precision == "auto":
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    if precision not in PRECISIONS:
        raise ModelError(
            f"Precision {precision!r} is unknown: use one of auto, {', '.join(PRECISIONS)}."
        )
    return PRECISIONS[precision]


def has_bfloat16(device: torch.device) -> bool:
    """Whether the hardware itself, not an emulation, multiplies in bfloat16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    return bool(_cpu_features() & {"amx_bf16", "avx512_bf16"})


def has_slow_attention(device: torch.device) -> bool:
    """Whether torch's fused attention in bfloat16 is slower here than matrix products."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    features = _cpu_features()
    return "avx512_bf16" in features and "amx_bf16" not in features


def _cpu_features() -> set[str]:
    capabilities = getattr(torch.cpu, "get_capabilities", None)  # younger than our oldest torch
    if capabilities is not None:
        return {name for name, present in capabilities().items() if present is True}
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return set()
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    return {flag for line in lines if line.startswith("flags") for flag in line.split()}
