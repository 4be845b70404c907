# SPDX-License-Identifier: Apache-2.0
"""The llm.c peer of a training step: train_gpt2cu (github.com/karpathy/llm.c, built with cuDNN) on random weights and tokens.

llm.c reads a model (magic 20240326; version 5: bfloat16) and tokens (magic 20240520; version 1: 16 bits each), both behind 256
integers; how the bench's other shapes are named it does not know, so only those of GPT-2 are run.
"""
import pathlib
import re
import shutil
import statistics
import subprocess

import numpy

VOCABULARY, PADDED = 50257, 50304


def random_bfloat16(count):
    some = (numpy.random.default_rng(1).standard_normal(1 << 20, numpy.float32) * 0.02).view(numpy.uint32) >> 16
    return numpy.resize(some.astype(numpy.uint16), count)


def write_model(path, layers, width, heads, context):
    header = numpy.zeros(256, numpy.int32)
    header[:8] = 20240326, 5, context, VOCABULARY, layers, heads, width, PADDED
    vector, square, one = layers * width, layers * width * width, 0x3F80  # 1 in bfloat16
    with open(path, "wb") as file:
        def write(matrix, rows_of_bias=0):
            file.write(random_bfloat16(matrix).tobytes() + bytes(2 * rows_of_bias))

        def norm(size):
            file.write(numpy.full(size, one, numpy.uint16).tobytes() + bytes(2 * size))

        file.write(header.tobytes())
        write(PADDED * width)
        write(context * width)
        norm(vector)
        write(3 * square, 3 * vector)
        write(square, vector)
        norm(vector)
        write(4 * square, 4 * vector)
        write(4 * square, vector)
        norm(width)


def write_tokens(path, count):
    header = numpy.zeros(256, numpy.int32)
    header[:3] = 20240520, 1, count
    tokens = numpy.random.default_rng(2).integers(0, VOCABULARY, count, numpy.uint16)
    path.write_bytes(header.tobytes() + tokens.tobytes())


class LlmC:
    def __init__(self, program, folder, layers, width, heads, context, batch, steps=25, counted=20, options=()):
        self.folder, self.counted, self.tokens = pathlib.Path(folder), counted, batch * context
        write_model(self.folder / "model.bin", layers, width, heads, context)
        write_tokens(self.folder / "tokens.bin", 4 * self.tokens + 1)
        self.command = [str(pathlib.Path(program).resolve()), "-e", "model.bin", "-i", "tokens.bin", "-j", "tokens.bin", "-b",
                        str(batch), "-t", str(context), "-d", str(self.tokens), "-l", "1e-4", "-c", "0.1", "-v", "1000", "-m", "1",
                        "-s", "0",
                        "-h", "0", "-r", "0", "-x", str(steps), *options]

    def run(self):
        """A process of its own; the median of its last steps."""
        done = subprocess.run(self.command, cwd=self.folder, capture_output=True, text=True)
        times = [float(t) for t in re.findall(r"\| ([0-9.]+) ms \|", done.stdout)][-self.counted:]
        if done.returncode or not times:
            return {"tokens_per_second": float("nan"), "peak_bytes": 0, "failure": (done.stdout + done.stderr)[-500:]}
        weights = int(re.search(r"num_parameters: \d+ => bytes: (\d+)", done.stdout).group(1))
        rest = sum(int(n) for n in re.findall(r"allocating (\d+) MiB", done.stdout)) << 20
        return {"tokens_per_second": self.tokens / statistics.median(times) * 1e3, "peak_bytes": weights + rest}

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)
