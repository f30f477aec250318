"""What the GPU meter is validated on: a board with torch, or a stand-in without either."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecoautoml.energy.base import Scope
from ecoautoml.energy.clock import Clock, MonotonicClock
from ecoautoml.energy.gpu.nvml import NvmlMeter

Call = Callable[[int], None]
"""Makes call number i and waits for the device."""
ROOT = Path(__file__).parent.parent


class NoBoardError(RuntimeError):
    """There is no GPU to validate the meter on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A call whose work is known.

    Attributes:
        name: What it is.
        run_once: Makes one call.
        flops: Arithmetic operations of a call.
        dram_bytes: Bytes to and from the device's memory at least, of a call.
    """

    name: str
    run_once: Call
    flops: float
    dram_bytes: float


class Rig:
    """A board, its meter's parts, and loads; members of one of the two kinds below."""

    board: str
    driver: str
    software: Mapping[str, str]
    uuid: str
    nvml: Any
    clock: Clock

    def synchronize(self) -> None:
        """Wait until the device has done what it was given."""
        raise NotImplementedError

    def loads(self) -> dict[str, Call]:
        """Return loads of different kinds, without "idle"."""
        raise NotImplementedError

    def products(self, n: int, *, is_zero: bool = False) -> Call:
        """Return n equal matrix products per call, of random numbers or of zeros."""
        raise NotImplementedError

    def square(self, period_s: float) -> Call:
        """Return a call that works for half its period and then idles."""
        raise NotImplementedError

    def busy(self, seconds: float) -> Call:
        """Return a call that works for so long as the busy half of `square` does."""
        raise NotImplementedError

    def launch(self, n: int) -> None:
        """Give the device n matrix products without waiting for them."""
        raise NotImplementedError

    def kernels(self) -> list[Kernel]:
        """Return about thirty kernels of known work."""
        raise NotImplementedError

    def nets(self) -> list[Kernel]:
        """Return three networks of known work."""
        raise NotImplementedError

    def idle(self, call: int) -> None:
        """Do nothing for 10 ms."""
        self.clock.wait(0.01)

    def meter(
        self, scope: Scope = Scope.DEVICE, synchronize: Callable[[], None] | None = None
    ) -> NvmlMeter:
        """Return a meter of the board."""
        return NvmlMeter([self.uuid], self.nvml, self.clock, scope=scope, synchronize=synchronize)

    @property
    def handle(self) -> Any:
        """Return the library's handle of the board."""
        return self.nvml.nvmlDeviceGetHandleByUUID(self.uuid)


class TorchRig(Rig):
    """The first visible GPU, with loads in torch.

    Raises:
        NoBoardError: There is none, or torch or nvidia-ml-py is missing.
    """

    def __init__(self) -> None:
        try:
            self._torch = importlib.import_module("torch")
            self.nvml = importlib.import_module("pynvml")
        except ImportError as error:
            raise NoBoardError(f"{error.name} is not installed") from error
        if not self._torch.cuda.is_available():
            raise NoBoardError("torch sees no GPU")
        torch = self._torch
        self.nvml.nvmlInit()
        name = str(torch.cuda.get_device_properties(0).uuid)
        self.uuid = name if name.startswith(("GPU-", "MIG-")) else f"GPU-{name}"
        self.clock = MonotonicClock()
        self.board = str(torch.cuda.get_device_name(0))
        self.driver = str(self.nvml.nvmlSystemGetDriverVersion())
        self.software = {"torch": torch.__version__, "cuda": str(torch.version.cuda)}
        self._device = "cuda"
        self._pairs: dict[tuple[int, bool], tuple[Any, Any]] = {}

    def synchronize(self) -> None:
        """Wait for the device."""
        self._torch.cuda.synchronize()

    def loads(self) -> dict[str, Call]:
        """Return matrix products, a convolutional net, a copy, and a small batch in an MLP."""
        return {
            "bf16 products": self._waiting(lambda: self._product(8192)),
            "conv net": self._waiting(self._conv_net(64, 224)),
            "memory copy": self._waiting(self._copy(2**30)),
            "small MLP": self._waiting(self._mlp(8, 4096)),
        }

    def products(self, n: int, *, is_zero: bool = False) -> Call:
        """Return n products of 2048 × 2048 matrices in bf16 per call."""

        def run() -> None:
            for _ in range(n):
                self._product(2048, is_zero=is_zero)

        return self._waiting(run)

    def square(self, period_s: float) -> Call:
        """Return small products for half the period, then waiting for its end."""
        busy = self.busy(period_s / 2)

        def run_once(call: int) -> None:
            began_s = self.clock.now()
            busy(call)
            while self.clock.now() - began_s < period_s:
                pass  # sleeping is not exact enough

        return run_once

    def busy(self, seconds: float) -> Call:
        """Return small products for so long."""

        def run_once(call: int) -> None:
            began_s = self.clock.now()
            while self.clock.now() - began_s < seconds:
                self._product(1024)
                self.synchronize()

        return run_once

    def launch(self, n: int) -> None:
        """Launch n large products."""
        for _ in range(n):
            self._product(8192)

    def kernels(self) -> list[Kernel]:
        """Return products, element-wise chains and copies from small to large."""
        return [
            *(self._product_kernel(side) for side in (512, 1024, 1536, 2048, 3072, 4096, 8192)),
            *(self._chain_kernel(mib, n) for mib in (256, 1024) for n in (1, 4, 16, 64)),
            *(self._copy_kernel(mib) for mib in (128, 256, 512, 1024, 2048, 4096)),
            *(self._tall_kernel(rows) for rows in (1, 8, 32, 64, 128, 256, 512, 1024, 2048)),
        ]

    def nets(self) -> list[Kernel]:
        """Return MLPs of small and large batch, and a convolutional net."""
        return [self._mlp_kernel(8, 4096), self._mlp_kernel(2048, 4096), self._conv_kernel(64, 224)]

    def _waiting(self, run: Callable[[], Any]) -> Call:
        def run_once(call: int) -> None:
            run()
            self.synchronize()

        with self._torch.no_grad():
            run_once(0)
        return self._torch.no_grad()(run_once)  # type: ignore[no-any-return]

    def _random(self, *shape: int, dtype: str = "bfloat16") -> Any:
        return self._torch.randn(*shape, device=self._device).to(getattr(self._torch, dtype))

    def _product(self, side: int, *, is_zero: bool = False) -> Any:
        if (side, is_zero) not in self._pairs:
            a, b = self._random(side, side), self._random(side, side)
            self._pairs[side, is_zero] = (a.zero_(), b.zero_()) if is_zero else (a, b)
        a, b = self._pairs[side, is_zero]
        return a @ b

    def _copy(self, n_bytes: int) -> Callable[[], Any]:
        source = self._random(n_bytes // 2)
        target = self._torch.empty_like(source)
        return lambda: target.copy_(source)

    def _mlp(self, batch: int, width: int) -> Callable[[], Any]:
        nn = self._torch.nn
        layers = [part for _ in range(4) for part in (nn.Linear(width, width), nn.ReLU())]
        net = nn.Sequential(*layers).to(self._device, self._torch.bfloat16).eval()
        x = self._random(batch, width)
        return lambda: net(x)

    def _conv_net(self, batch: int, side: int) -> Callable[[], Any]:
        net = self._convolutions().to(self._device, self._torch.bfloat16).eval()
        net = net.to(memory_format=self._torch.channels_last)
        x = self._random(batch, 3, side, side)
        x = x.to(memory_format=self._torch.channels_last)
        return lambda: net(x)

    def _convolutions(self) -> Any:
        nn, widths = self._torch.nn, (3, 32, 64, 128, 256, 512)
        layers: list[Any] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
        return nn.Sequential(*layers)

    def _product_kernel(self, side: int) -> Kernel:
        run = self._waiting(lambda: self._product(side))
        return Kernel(
            name=f"product {side}", run_once=run, flops=2.0 * side**3, dram_bytes=6.0 * side**2
        )

    def _tall_kernel(self, rows: int) -> Kernel:
        width = 8192
        a, b = self._random(rows, width), self._random(width, width)
        return Kernel(
            name=f"product {rows} × {width}",
            run_once=self._waiting(lambda: a @ b),
            flops=2.0 * rows * width**2,
            dram_bytes=2.0 * (2 * rows * width + width**2),
        )

    def _chain_kernel(self, mib: int, n: int) -> Kernel:
        values = self._random(mib * 2**20 // 4, dtype="float32")

        def run() -> None:
            for _ in range(n):
                values.mul_(1.0)

        n_values = values.numel()
        return Kernel(
            name=f"{n} × scale {mib} MiB",
            run_once=self._waiting(run),
            flops=float(n * n_values),
            dram_bytes=8.0 * n * n_values,
        )

    def _copy_kernel(self, mib: int) -> Kernel:
        run = self._waiting(self._copy(mib * 2**20))
        return Kernel(name=f"copy {mib} MiB", run_once=run, flops=0.0, dram_bytes=2.0 * mib * 2**20)

    def _mlp_kernel(self, batch: int, width: int) -> Kernel:
        return Kernel(
            name=f"MLP of batch {batch}",
            run_once=self._waiting(self._mlp(batch, width)),
            flops=4 * 2.0 * batch * width**2,
            dram_bytes=4 * 2.0 * (width**2 + 4 * batch * width),
        )

    def _conv_kernel(self, batch: int, side: int) -> Kernel:
        flops = dram_bytes = 0.0
        widths, size = (3, 32, 64, 128, 256, 512), side
        for before, after in itertools.pairwise(widths):
            read = before * size**2
            size //= 2
            flops += 2.0 * 9 * before * after * size**2 * batch
            # The activation is read and written once more by the element-wise layer.
            dram_bytes += 2.0 * (batch * (read + 3 * after * size**2) + 9 * before * after)
        return Kernel(
            name="conv net",
            run_once=self._waiting(self._conv_net(batch, side)),
            flops=flops,
            dram_bytes=dram_bytes,
        )


class StandInRig(Rig):
    """A simulated board on a virtual clock, to find mistakes in the checks themselves.

    Its counter moves every 0.1 s by what its sensor saw of the last quarter of it.
    """

    board, driver, uuid = "rehearsal", "none", "GPU-rehearsal"
    software: Mapping[str, str] = {}
    call_s = 0.01

    def __init__(self) -> None:
        sys.path.insert(0, str(ROOT / "tests" / "energy"))
        fakes = importlib.import_module("nvml_fakes")
        self.clock = fakes.VirtualClock()
        self._device = fakes.TickingBoard(self.clock, self.uuid, seen_s=0.025, jitter_s=0.002)
        self._device.instant_mw = self._device.usage_mw = 0
        self.nvml = fakes.FakeNvml(self._device, clock=self.clock, latency_s=0.0005)
        self.nvml.nvmlDeviceGetFieldValues = self._fields
        self._pending_s = 0.0

    def synchronize(self) -> None:
        """Let pass what was launched."""
        if self._pending_s:
            self._device.run(self._pending_s, 600.0)
            self._pending_s = 0.0

    def loads(self) -> dict[str, Call]:
        """Return loads of different power."""
        watts = {
            "bf16 products": 650.0,
            "conv net": 480.0,
            "memory copy": 380.0,
            "small MLP": 200.0,
        }
        return {name: self._load(self.call_s, power_w) for name, power_w in watts.items()}

    def products(self, n: int, *, is_zero: bool = False) -> Call:
        """Return a load as long as n."""
        return self._load(n * 1e-4, 500.0 if is_zero else 600.0)

    def square(self, period_s: float) -> Call:
        """Return a load of 650 W for half the period, idling after."""

        def run_once(call: int) -> None:
            self._device.run(period_s / 2, 650.0)
            self.clock.wait(period_s / 2)

        return run_once

    def busy(self, seconds: float) -> Call:
        """Return a load of 650 W."""
        return self._load(seconds, 650.0)

    def launch(self, n: int) -> None:
        """Launch work of n hundredths of a second."""
        self._pending_s += n * 0.01

    def kernels(self) -> list[Kernel]:
        """Return kernels whose joules follow the model that is fitted to them."""
        return [
            self._kernel(f"kernel {flops:g} {dram_bytes:g}", flops, dram_bytes)
            for flops in (1e10, 1e11, 1e12)
            for dram_bytes in (1e8, 1e9, 1e10)
        ]

    def nets(self) -> list[Kernel]:
        """Return networks that follow it, too."""
        work: Sequence[tuple[float, float]] = ((5e10, 2e9), (3e11, 5e8), (6e11, 4e9))
        return [self._kernel(f"net {index}", *each) for index, each in enumerate(work)]

    def _kernel(self, name: str, flops: float, dram_bytes: float) -> Kernel:
        seconds = 0.002 + flops / 5e14 + dram_bytes / 4e12
        power_w = 90.0 + (0.6e-12 * flops + 4e-11 * dram_bytes) / seconds
        run_once = self._load(seconds, power_w)
        return Kernel(name=name, run_once=run_once, flops=flops, dram_bytes=dram_bytes)

    def _load(self, seconds: float, power_w: float) -> Call:
        return lambda call: self._device.run(seconds, power_w)

    def _fields(self, handle: Any, asked: Any) -> Any:
        """Answer with the power the sensor last saw, as the real library does."""
        assert handle.energy_mj  # which is what makes its sensor look
        seen_s = handle.stamp_us * 1e-6
        handle.instant_mw = round(1000 * handle.power.watts(seen_s - 0.001))
        return type(self.nvml).nvmlDeviceGetFieldValues(self.nvml, handle, asked)
