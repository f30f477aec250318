"""Which NVIDIA boards are meant, what each can tell, and why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecoautoml.errors import ConfigError

SUPERCHIPS = ("GH200", "GB200", "GB300")
"""Boards whose counter may hold the processor beside them, too (zeus 0.16.0, nvidia.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBoard:
    """One board as it was found.

    Attributes:
        component: "gpu:UUID".
        handle: The library's; None when it could not be opened.
        model: What the vendor calls it.
        power_limit_w: Enforced limit in watts; None when it is not told.
        has_counter: Whether it has an energy counter; without, its power is integrated.
        power_name: Which power that is; empty when there is none.
        reason: Why it cannot be read at all.
    """

    component: str
    handle: Any = None
    model: str = "unknown"
    power_limit_w: float | None = None
    has_counter: bool = True
    power_name: str = ""
    reason: str | None = None

    @property
    def source(self) -> str:
        """Return what its joules are read from."""
        if self.has_counter:
            return f"nvml:{self.model}"
        return f"nvml-power:{self.model} ({self.power_name})"

    @property
    def detail(self) -> str:
        """Return the board in words."""
        words = [self.model]
        if not self.has_counter:
            words.append(f"integrated {self.power_name} power")
        if any(name in self.model for name in SUPERCHIPS):
            words.append("perhaps with the processor beside it")
        return f"{self.component} ({', '.join(words)})"


def open_board(nvml: Any, device: str) -> OpenBoard:
    """Return a board by its UUID ("GPU-…"), or why it cannot be read.

    Args:
        nvml: The management library, initialised.
        device: The UUID, or that of a MIG instance.
    """
    component = f"gpu:{device}"
    if device.startswith("MIG-"):
        no_counter = "a MIG instance has no energy counter, only its whole board has"
        return OpenBoard(component=component, reason=no_counter)
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(device)
        model = text(nvml.nvmlDeviceGetName(handle))
    except nvml.NVMLError as error:
        return OpenBoard(component=component, reason=f"the board cannot be opened: {error}")
    reason = _why_not(nvml, handle)
    has_counter = has_energy_counter(nvml, handle)
    power_name = "" if has_counter or reason else power_name_of(nvml, handle)
    if not has_counter and not power_name and reason is None:
        reason = "the board tells neither its energy (Volta and newer do) nor its power"
    limit_mw = _value(nvml, nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    return OpenBoard(
        component=component,
        handle=handle,
        model=model,
        power_limit_w=None if not limit_mw else limit_mw * 1e-3,
        has_counter=has_counter or reason is not None,
        power_name=power_name,
        reason=reason,
    )


def has_energy_counter(nvml: Any, handle: Any) -> bool:
    """Return whether a board has an energy counter; one that fails for now has one."""
    try:
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError as error:
        return bool(getattr(error, "value", None) != nvml.NVML_ERROR_NOT_SUPPORTED)
    return True


def power_name_of(nvml: Any, handle: Any) -> str:
    """Return which power a board tells: "instant", "average", "usage", or "" for none.

    The first two are fields with time stamps. ``usage`` (nvmlDeviceGetPowerUsage) is
    instantaneous on boards before Ampere and on GA100, but the average of one second on other
    Ampere boards and everything newer, an H100 or H200 for example (NVML API reference): it is the
    last resort.
    """
    for name, field in power_fields(nvml).items():
        if field_value(nvml, handle, field) is not None:
            return name
    return "" if _value(nvml, nvml.nvmlDeviceGetPowerUsage, handle) is None else "usage"


def power_fields(nvml: Any) -> dict[str, int]:
    """Return the numbers of the power fields, the better one first."""
    return {"instant": nvml.NVML_FI_DEV_POWER_INSTANT, "average": nvml.NVML_FI_DEV_POWER_AVERAGE}


Field = tuple[int, float | None]
"""A field's whole number, and its time stamp in seconds where it has one."""


def field_value(nvml: Any, handle: Any, field: int) -> Field | None:
    """Return one field (NVML_FI_DEV_…) of the GPU itself; None when it is not told."""
    return field_values(nvml, handle, [field])[0]


def field_values(nvml: Any, handle: Any, fields: Sequence[int]) -> list[Field | None]:
    """Return several fields of the GPU itself, asked for in one call; None for those not told.

    Args:
        nvml: The management library.
        handle: The board's.
        fields: Their numbers; their scope is the GPU, not the module it sits on, nor its memory.
    """
    asked = [(field, nvml.NVML_POWER_SCOPE_GPU) for field in fields]
    try:
        return [_decoded(nvml, answer) for answer in nvml.nvmlDeviceGetFieldValues(handle, asked)]
    except nvml.NVMLError:
        return [None] * len(asked)


def _decoded(nvml: Any, answer: Any) -> Field | None:
    if answer.nvmlReturn != nvml.NVML_SUCCESS:
        return None
    members = {
        nvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
        nvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
        nvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
        nvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
    }
    member = members.get(answer.valueType)
    if member is None:
        return None
    stamp_us = int(answer.timestamp)
    return int(getattr(answer.value, member)), stamp_us * 1e-6 if stamp_us > 0 else None


def visible_devices(nvml: Any, environ: Mapping[str, str]) -> list[str]:
    """Return the UUIDs CUDA would number 0, 1, …, as CUDA_VISIBLE_DEVICES says.

    An entry can be a number, a board's UUID or the beginning of one, or a MIG instance (returned
    as it stands). As in CUDA, the first entry that names nothing ends the list.

    Args:
        nvml: The management library, initialised.
        environ: Environment variables.

    Raises:
        ConfigError: The numbers of boards cannot be known.
    """
    uuids, models = _boards_in_bus_order(nvml)
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    entries = [str(i) for i in range(len(uuids))] if visible is None else visible.split(",")
    by_speed = environ.get("CUDA_DEVICE_ORDER", "FASTEST_FIRST") != "PCI_BUS_ID"
    if by_speed and len(set(models)) > 1 and any(entry.strip().isdigit() for entry in entries):
        raise ConfigError(
            "the GPUs of this machine differ, and CUDA numbers them by speed: set "
            "CUDA_DEVICE_ORDER=PCI_BUS_ID, or name them by UUID in CUDA_VISIBLE_DEVICES"
        )
    found: list[str] = []
    for entry in entries:
        device = _device(entry.strip(), uuids)
        if device is None:
            break
        found.append(device)
    return found


def text(value: str | bytes) -> str:
    """Return what the library calls something; older releases return bytes."""
    return value.decode() if isinstance(value, bytes) else value


def _why_not(nvml: Any, handle: Any) -> str | None:
    """Return why a board's counter would not be this process's, None when it would."""
    mode = _value(nvml, nvml.nvmlDeviceGetVirtualizationMode, handle)
    if mode == nvml.NVML_GPU_VIRTUALIZATION_MODE_VGPU:
        return "a virtual GPU has no energy counter; ask the host's administrator for its own"
    mig_mode = _value(nvml, nvml.nvmlDeviceGetMigMode, handle)
    if mig_mode is not None and mig_mode[0] == 1:
        return "the board is split by MIG, and its counter is that of all instances together"
    return None


def _value(nvml: Any, function: Callable[[Any], Any], handle: Any) -> Any:
    try:
        return function(handle)
    except nvml.NVMLError:
        return None


def _boards_in_bus_order(nvml: Any) -> tuple[list[str], list[str]]:
    boards = []
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        bus = text(nvml.nvmlDeviceGetPciInfo(handle).busId)
        uuid, model = nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle)
        boards.append((bus, text(uuid), text(model)))
    boards.sort()
    return [uuid for _, uuid, _ in boards], [model for _, _, model in boards]


def _device(entry: str, uuids: list[str]) -> str | None:
    if entry.startswith("MIG-"):
        return entry
    if entry.isdigit():
        return uuids[int(entry)] if int(entry) < len(uuids) else None
    matches = [uuid for uuid in uuids if entry.startswith("GPU-") and uuid.startswith(entry)]
    return matches[0] if len(matches) == 1 else None
