"""The script beside an exported model: predicts without ecoautoml."""

from __future__ import annotations

from pathlib import Path

from ecoautoml.data import pixels
from ecoautoml.deploy.preprocessing import Preprocessing

EXAMPLE_FILE = "example.py"

_HEAD = '''"""Predict with this model: python example.py IMAGE ...

Needs {libraries}; nothing else. What the model takes stands in preprocessing.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

'''
_MODEL = """

# --- the model ------------------------------------------------------------------------------------

HERE = Path(__file__).resolve().parent
ABOUT = json.loads((HERE / "preprocessing.json").read_text(encoding="utf-8"))
MODEL = HERE / ABOUT["model"]["files"][0]

"""
_RUN = {
    "onnx": '''
def load():
    """Return a function from pixels (b, c, h, w), uint8, to logits (b, classes)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]
''',
    "openvino": '''
def load():
    """Return a function from pixels (b, c, h, w), uint8, to logits (b, classes)."""
    sys.modules.setdefault("openvino_telemetry", None)  # it would tell its makers of every use
    import openvino

    # A CPU with bfloat16 would compute in it, less exactly than the search did.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    config = exact if ABOUT["model"]["precision"] == "fp32" else {}
    model = openvino.Core().compile_model(str(MODEL), "CPU", config)
    return lambda images: model([images])[0]
''',
    "torchscript": '''
def load():
    """Return a function from pixels (b, c, h, w), uint8, to logits (b, classes)."""
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says how old TorchScript is
        model = torch.jit.load(str(MODEL))

    def run(images):
        with torch.inference_mode():
            return model(torch.from_numpy(images)).float().numpy()

    return run
''',
    "torch": '''
def load():
    """Return a function from pixels (b, c, h, w), uint8, to logits (b, classes)."""
    import torch

    model = torch.export.load(str(MODEL)).module()

    def run(images):
        with torch.inference_mode():
            return model(torch.from_numpy(images)).float().numpy()

    return run
''',
}
_MAIN = '''

def predict(paths):
    """Yield class name and probability of every image file."""
    run, size = load(), ABOUT["model"]["batch_size"]
    sides, channels = ABOUT["resize"], ABOUT["input"]["channels"]
    for start in range(0, len(paths), size):
        images = []
        for path in paths[start : start + size]:
            with Image.open(path) as image:
                square = square_pixels(image, sides["prepared_side"], channels)
            images.append(resized_pixels(square, sides["side"]))
        count = len(images)
        images += images[-1:] * (size - count)  # the model takes whole batches only
        logits = run(np.ascontiguousarray(np.stack(images)))[:count].astype(np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        for row in powers / powers.sum(axis=1, keepdims=True):
            yield ABOUT["class_names"][row.argmax()], row.max()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("python example.py IMAGE ...")
    for file, (name, probability) in zip(sys.argv[1:], predict(sys.argv[1:])):
        print(f"{file}\\t{name}\\t{probability:.4f}")
'''
_WITH_ECOAUTOML = '''"""Predict with this model: python example.py IMAGE ...

Weights alone do not say how they are joined, so this format needs ecoautoml to build the network;
the others do without it.
"""

import sys
from pathlib import Path

from ecoautoml import EcoModel

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("python example.py IMAGE ...")
    with EcoModel.load(Path(__file__).resolve().parent) as model:
        for file, found in zip(sys.argv[1:], model.predict(sys.argv[1:])):
            print(f"{file}\\t{found.class_name}\\t{found.probability:.4f}")
'''
_LIBRARIES = {
    "onnx": "onnxruntime",
    "openvino": "openvino",
    "torchscript": "torch",
    "torch": "torch",
}


def example_source(preprocessing: Preprocessing) -> str:
    """Return the script for a model; its images are read by a copy of `ecoautoml.data.pixels`."""
    run = _RUN.get(preprocessing.model_format)
    if run is None:
        return _WITH_ECOAUTOML
    head = _HEAD.format(libraries=library_words(preprocessing))
    return f"{head}{_pixels_source()}{_MODEL}{run}{_MAIN}"


def library_words(preprocessing: Preprocessing) -> str:
    """Return what the script needs, as pip calls it."""
    library = _LIBRARIES.get(preprocessing.model_format)
    return "ecoautoml" if library is None else f"numpy, pillow, {library}"


def _pixels_source() -> str:
    """Return the functions that bring an image to size, as they are in this package."""
    text = Path(pixels.__file__).read_text(encoding="utf-8")
    _, _, code = text.partition("from __future__ import annotations\n")
    return code.strip() + "\n"
