"""The formats a model is exported to: file names, runtimes, and the libraries they need."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ecoautoml.errors import ConfigError, MissingExtraError
from ecoautoml.registry import suggest
from ecoautoml.runtimes import RUNTIMES

if TYPE_CHECKING:
    from ecoautoml.runtimes.base import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format.

    Attributes:
        name: As on the command line.
        runtime: The member of `RUNTIMES` that writes and runs it, or a class of this room
            ("module:attribute") where no search ranks models in it.
        file: Name of the model's file.
        libraries: Packages that using it needs, beside NumPy and Pillow, as pip calls them.
        ran_by: What runs it, for people.
    """

    name: str
    runtime: str
    file: str
    libraries: tuple[str, ...]
    ran_by: str

    @property
    def is_ranked(self) -> bool:
        """Return whether a trial's own file may be of this format."""
        return ":" not in self.runtime

    def check_libraries(self) -> None:
        """Refuse a format whose library is not installed.

        Raises:
            MissingExtraError: One is missing; holds the pip command.
        """
        missing = [name for name in self.libraries if not is_installed(name)]
        if missing:
            raise MissingExtraError(
                f"a model of format {self.name} needs {' and '.join(missing)}, which is not "
                f"installed: pip install {' '.join(missing)}"
            )

    def open(self) -> Runtime:
        """Return what writes, loads and runs it.

        Raises:
            MissingExtraError: Its library is not installed.
            ConfigError: There is no such runtime here.
        """
        self.check_libraries()
        if self.is_ranked:
            return RUNTIMES.get(self.runtime)()
        module, _, attribute = self.runtime.partition(":")
        runtime: Runtime = getattr(import_module(module), attribute)()
        return runtime


FORMATS: tuple[Format, ...] = (
    Format(
        name="onnx",
        runtime="onnxruntime",
        file="model.onnx",
        libraries=("onnxruntime",),
        ran_by="ONNX Runtime",
    ),
    Format(
        name="openvino",
        runtime="openvino",
        file="model.xml",
        libraries=("openvino",),
        ran_by="OpenVINO",
    ),
    Format(
        name="torchscript",
        runtime="torchscript",
        file="model.ts",
        libraries=("torch",),
        ran_by="PyTorch (TorchScript)",
    ),
    Format(
        name="torch",
        runtime="torch_eager",
        file="model.pt2",
        libraries=("torch",),
        ran_by="PyTorch (torch.export)",
    ),
    Format(
        name="safetensors",
        runtime="ecoautoml.deploy.checkpoints:Checkpoint",
        file="model.safetensors",
        libraries=("torch", "timm", "safetensors"),
        ran_by="ecoautoml on PyTorch",
    ),
)


def format_named(name: str) -> Format:
    """Return a format by name.

    Raises:
        ConfigError: There is none of that name, or not in this installation.
    """
    for one in FORMATS:
        if one.name == name:
            if one.is_ranked and one.runtime not in RUNTIMES.names():
                raise ConfigError(f"format {name}: there is no runtime {one.runtime} here")
            return one
    raise ConfigError(f"no format is called {name!r}{suggest(name, [f.name for f in FORMATS])}")


def is_installed(package: str) -> bool:
    """Return whether a package can be imported; nothing is imported."""
    try:
        return find_spec(package) is not None
    except ValueError:  # somebody put None in its place
        return False
