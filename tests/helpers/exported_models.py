"""A small real search whose models are exported, and its images as files."""

import numpy as np
from PIL import Image
from spaces_for_tests import net_space, quick_config

from ecoautoml import search
from ecoautoml.data import load_images, read_prepared


def searched(folder, **changes):
    """Return the result of a search of a few seconds; its model resizes images once more."""
    measure = {"max_seconds": 0.3, "precision": 0.5, "batch_size": 2, "other_batch_sizes": [4]}
    return search(
        quick_config(
            folder,
            space=net_space(resolution=[12]),
            measure=measure,
            budget={"trials": 1},
            training={"epochs": 6},
            keep_models="all",
            **changes,
        )
    )


def image_files(result, folder, count=11):
    """Write the first validation images of a run as PNG files and return their paths."""
    folder.mkdir(exist_ok=True)
    pixels = load_images(read_prepared(result.folder / "data"), "validation")[:count]
    paths = [folder / f"digit_{index:02d}.png" for index in range(len(pixels))]
    for path, one in zip(paths, pixels, strict=True):
        Image.fromarray(np.array(one[0])).save(path)
    return paths
