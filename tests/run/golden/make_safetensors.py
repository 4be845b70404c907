# SPDX-License-Identifier: Apache-2.0
# Writes reference.safetensors beside itself: pip install safetensors numpy
import pathlib

import numpy
from safetensors.numpy import save_file

here = pathlib.Path(__file__).parent
save_file({"x": numpy.arange(6, dtype=numpy.float32).reshape(2, 3) * 0.5,
           "layer.y": numpy.array(-7, dtype=numpy.int64),
           "none": numpy.zeros((0, 4), dtype=numpy.float64)},
          here / "reference.safetensors", metadata={"made_by": "python"})
