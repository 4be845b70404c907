# SPDX-License-Identifier: Apache-2.0
"""What the figures of run.py are held to. missed() gives a line for each that is beyond its bound."""

COLLECTIVES = 0.97  # of torch.distributed's speed
DATA = 0.97  # tokens a second and GPU, of the slowest card alone
STATES = 0.97  # the same with states sharded, of that with data parallelism alone
PARAMETERS = 0.92  # and with parameters sharded, of the slowest card alone
TENSOR = 0.85  # over two GPUs, of 1.5B
PIPELINE = 1.03  # a step's time over that by the bubble formula
PLANNED_TIME = 0.08  # of a step, either way
PLANNED_MEMORY = (1.0, 1.10)  # of the measured peak
STATE_BYTES, STATE_SHARE = 12, 0.05  # of a parameter, where masters and both moments are float32
LOSSES = 0.01  # of the loss in bfloat16: eight bits, other kernels and another order of sums
FAULT_SECONDS = 10


def parameters(layers, width, context=1024, vocabulary=50304):
    return layers * (12 * width * width + 13 * width) + (vocabulary + context + 2) * width


def training(rows, models, gpus, plain):
    """`plain`: the recipe's own shapes and number formats, so that the bytes of states are known."""
    for row in rows:
        name = f"{row['model']}, {row['layout']}"
        same = {other["layout"]: other for other in rows if other["model"] == row["model"]}
        data = same.get(f"data {gpus}")
        if row.get("planned_seconds") and abs(row["planned_seconds"] / row["step_seconds"] - 1) > PLANNED_TIME:
            yield f"{name}: planned {row['planned_seconds'] * 1e3:.1f} ms, measured {row['step_seconds'] * 1e3:.1f} ms"
        if row.get("planned_bytes"):
            low, high = PLANNED_MEMORY
            if not low <= row["planned_bytes"] / row["peak_bytes"] <= high:
                yield f"{name}: planned {row['planned_bytes'] / 1e9:.2f} GB, measured {row['peak_bytes'] / 1e9:.2f} GB"
        share = row.get("of_slowest")
        if share is None:
            continue
        if row["layout"].startswith(f"data {gpus}, states sharded"):
            if data and share < STATES * data["of_slowest"]:
                yield f"{name}: {share / data['of_slowest']:.3f} of data parallelism alone"
            if data and plain and row["layout"] == f"data {gpus}, states sharded":
                shape = models[row["model"]]
                expected = STATE_BYTES * parameters(shape["layers"], shape["width"]) * (1 - 1 / gpus)
                freed = data["peak_bytes"] - row["peak_bytes"]
                if abs(freed / expected - 1) > STATE_SHARE:
                    yield f"{name}: frees {freed / 1e9:.2f} GB a GPU, where {STATE_BYTES} bytes a parameter are {expected / 1e9:.2f}"
            continue
        for begin, bound in ((f"data {gpus}, parameters sharded", PARAMETERS), (f"data {gpus}", DATA),
                             ("tensor 2", TENSOR if row["model"] == "1558m" else 0)):
            if row["layout"].startswith(begin):
                if share < bound:
                    yield f"{name}: {share:.3f} of the slowest card"
                break
        if "bubble" in row:
            over = (1 + row["bubble"]) / (1 + row["ideal_bubble"])
            if over > PIPELINE:
                yield f"{name}: a step takes {over:.3f} of what the formula says"
        other = same.get(f"pipeline {gpus}, 1f1b")
        if row["layout"] == f"pipeline {gpus}, zero_bubble" and other and row["tokens_per_second"] <= other["tokens_per_second"]:
            yield f"{name}: no quicker than 1F1B"


def missed(results, models, gpus, plain):
    out = [f"{row['kind']}, {row['bytes']} bytes: {row['torch_us'] / row['ocoee_us']:.3f} of torch.distributed"
           for row in results.get("collectives", []) if row["torch_us"] / row["ocoee_us"] < COLLECTIVES]
    out += training(results.get("training", []), models, gpus, plain)
    out += [f"losses, {what}: {most:.2%} apart" for what, most in results.get("losses", {}).get("largest_difference", {}).items()
            if most > LOSSES]
    for row in results.get("faults", []):
        if "seconds" in row and (row["seconds"] > FAULT_SECONDS or not row["message"]):
            out.append(f"a killed rank, {row['layout']}: the others ended after {row['seconds']:.1f} s, and said {row['message']}")
    return out
