#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The real trainer, run as a user runs it: small recipes of every kind of training, their losses, and kills.

    trainer_runs.py --program OCOEE sameness RECIPE        50 steps on 1, 2 and 4 ranks: losses agree to 1e-5 relative
    trainer_runs.py --program OCOEE resume RECIPE          bit-equal on the same ranks, 1e-5 on others
    trainer_runs.py --program OCOEE layouts RECIPE         several layouts against one rank, each resumed in the next one
    trainer_runs.py --program OCOEE moments RECIPE         optimizer states in bfloat16: shards, resumed, from and to float32
    trainer_runs.py --program OCOEE masters RECIPE         split masters: shards, resumed, from and to whole ones
    trainer_runs.py --program OCOEE kill RECIPE [--kills N --ranks N]  kill -9 of all ranks, then bit-equal
"""
import argparse
import glob
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MPIRUN = os.path.join(HERE, "..", "mpirun.sh")
STEPS = 50

SHARED = """
[batch]
global = 16
micro = 4
[optimizer]
learning_rate = 2e-3
warmup_steps = 5
[train]
steps = %d
evaluate_every = 25
checkpoint_every = 10
""" % STEPS
RECIPES = {
    "genome_lm": """
[task]
name = "genome_lm"
fasta = ["genome.fasta"]
tokens = "codon"
markov_order = 2
[model]
layers = 2
width = 48
heads = 4
context = 48
dropout = 0.1
""" + SHARED,
    "text_lm": """
[task]
name = "text_lm"
files = ["text.txt"]
[model]
style = "llama"
layers = 2
width = 48
heads = 4
kv_heads = 2
context = 48
""" + SHARED,
    "toy_gan": """
[task]
name = "toy_gan"
[batch]
global = 64
micro = 8
[train]
steps = %d
checkpoint_every = 10
""" % STEPS,
}


def fail(message):
    sys.exit("trainer_runs: " + message)


class Bench:
    """A scratch folder with a recipe and its input."""

    def __init__(self, program, recipe, folder):
        self.program, self.folder = os.path.abspath(program), folder
        self.data = "genome.fasta" if recipe == "genome_lm" else "text.txt"
        self.write("recipe.toml", "version = 1\n[run]\ndevice = \"cpu\"\nthreads = 1\nlog_every = 1\n" + RECIPES[recipe])
        bases = random.Random(7)
        # Codons of an uneven usage, so that there is something to learn.
        codons = bases.choices(["ATG", "GCG", "CTG", "GAA", "AAA", "TAA", "ACC", "GGC"], [1, 4, 6, 5, 3, 1, 2, 4], k=8000)
        self.write("genome.fasta", ">synthetic\n" + "".join(codons) + "\n")
        shutil.copy(os.path.join(HERE, "..", "..", "LICENSE"), self.path("text.txt"))

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as stream:
            stream.write(text)

    def start(self, ranks, name, *overrides):
        command = [self.program, "run", "recipe.toml", f'run.dir="{name}"', *overrides]
        if ranks > 1:
            command = [MPIRUN, str(ranks)] + command
        environment = dict(os.environ, XDG_CACHE_HOME=self.path("cache"), OMP_NUM_THREADS="1")
        with open(self.path(name + ".out"), "w", encoding="utf-8") as out:
            return subprocess.Popen(command, cwd=self.folder, stdout=out, stderr=out, env=environment)

    def run(self, ranks, name, *overrides):
        code = self.start(ranks, name, *overrides).wait()
        if code != 0:
            with open(self.path(name + ".out"), encoding="utf-8") as out:
                fail(f"{name} on {ranks} ranks ended with {code}:\n{out.read()}")
        return self.losses(name)

    def losses(self, name):
        """{(step, loss's name): loss}; every step once."""
        found = {}
        with open(self.path(name, "metrics.jsonl"), encoding="utf-8") as stream:
            for line in stream:
                entry = json.loads(line)
                if entry["kind"] not in ("step", "evaluation"):
                    continue
                for key, value in entry.items():
                    if key.startswith("loss") and not key.startswith("loss_scale"):
                        where = (entry["step"], entry["kind"] + " " + key)
                        if where in found:
                            fail(f"{name}: {where} is logged twice")
                        found[where] = value
        if len({step for step, _ in found}) != STEPS:
            fail(f"{name}: {len(found)} losses, not those of {STEPS} steps")
        return found

    def checkpoints(self, name):
        found = glob.glob(self.path(name, "checkpoints", "step-*"))
        return sorted(int(end) for end in (f.rsplit("-", 1)[1] for f in found) if end.isdigit())


def expect_close(expected, found, what, most=1e-5):
    if expected.keys() != found.keys():
        fail(f"{what}: other steps or losses than the reference")
    worst = max((abs(found[k] - expected[k]) / abs(expected[k]), k) for k in expected)
    print(f"{what}: {len(expected)} losses, largest relative difference {worst[0]:.2e} at {worst[1]}")
    if not worst[0] <= most:
        fail(f"{what}: {worst[0]:.2e} is more than {most:g}")


def expect_equal(expected, found, what):
    differing = [k for k in expected if expected[k] != found.get(k)]
    if differing or expected.keys() != found.keys():
        fail(f"{what}: not bit-equal, first at {min(differing, default='the list of steps')}")
    print(f"{what}: {len(expected)} losses bit-equal")


def sameness(bench):
    one = bench.run(1, "one")
    if len({round(loss, 3) for loss in one.values()}) < 10:
        fail("the loss does not move, so this proves nothing")
    for ranks in (2, 4):
        expect_close(one, bench.run(ranks, f"ranks-{ranks}"), f"{ranks} ranks against 1")
    for name in ("one", "ranks-2"):
        with open(bench.path(name, "summary.json"), encoding="utf-8") as stream:
            summary = json.load(stream)
        if summary["task"] == "toy_gan":
            expect_points(summary)


def expect_points(summary):
    """A GAN shows what it makes beside what it learns from, none of it lost, and how far real points would lie."""
    made, real = summary["figures"]
    if sum(real["values"]) != 8192 or sum(made["values"]) + int((made["caption"] + " Outside: 0.").split("Outside: ")[1].split(".")[0]) != 8192:
        fail("toy_gan: points are missing from its pictures")
    if made["values"] == real["values"] or not 0 <= summary["gaussians_reached"] <= 8:
        fail("toy_gan: the picture of made points is that of real ones")
    (headline,) = summary["headline"]
    if not 0.055 < headline["reference"]["value"] < 0.07:  # 0.05 sqrt(pi / 2) = 0.0627
        fail(f"toy_gan: real points lie {headline['reference']} from their Gaussian")


def copy_until(bench, source, target, step):
    """A run directory as it was when nothing after `step` had been saved."""
    shutil.copytree(bench.path(source), bench.path(target))
    for later in bench.checkpoints(target):
        if later > step:
            shutil.rmtree(bench.path(target, "checkpoints", f"step-{later}"))
    os.remove(bench.path(target, "summary.json"))


def resume(bench):
    whole = bench.run(2, "whole", "run.keep_checkpoints=9")
    expect_equal(whole, bench.run(2, "again"), "a second run")
    for ranks in (2, 1, 4):
        copy_until(bench, "whole", f"resumed-{ranks}", 20)
        found = bench.run(ranks, f"resumed-{ranks}")
        with open(bench.path(f"resumed-{ranks}.out"), encoding="utf-8") as out:
            if "going on from the checkpoint of step 20" not in out.read():
                fail(f"resumed-{ranks} did not go on from step 20")
        if ranks == 2:
            expect_equal(whole, found, "resumed on the same ranks")
        else:
            expect_close(whole, found, f"resumed on {ranks} ranks")


LAYOUTS = [  # ranks, and the keys
    (4, "layout.pipeline=2", "layout.shard=parameters", "layout.recompute=full", "layout.offload=true"),
    (4, "layout.pipeline=4", "layout.cuts=[1,2,3]", "layout.schedule=gpipe"),
    (4, "layout.shard=states", "layout.shard_group=2"),
    (4, "layout.pipeline=2", "layout.schedule=interleaved", "layout.chunks=2", "batch.micro=2"),
    (2, "layout.tensor=2", "layout.recompute=selective"),
    (2, "layout.context=2"),
    (2, "layout.context=2", "layout.context_method=all_to_all"),
    (4, "layout.pipeline=2", "layout.tensor=2", "layout.schedule=zero_bubble"),
    (4, "layout.context=2", "layout.shard=parameters", "layout.recompute=full"),
]


def layouts(bench):
    one = bench.run(1, "one")
    for number, (ranks, *layout) in enumerate(LAYOUTS):
        name = f"layout-{number}"
        expect_close(one, bench.run(ranks, name, "run.keep_checkpoints=9", *layout), " ".join(layout))
        with open(bench.path(name, "summary.json"), encoding="utf-8") as stream:
            summary = json.load(stream)
        if len(summary["ranks_record"]["seconds"]) != ranks or not 0 <= summary["ranks_record"]["slowest"] < ranks:
            fail(f"{name}: the ranks are not on record")
        if "layout.pipeline" in layout[0]:
            record = summary["pipeline"]
            stages, micro = int(layout[0][-1]), record["micro_batches"]
            # The first stage makes weight gradients in its backward passes, whatever the schedule.
            if record["pipelines"] != ranks // stages or len(record["shown"]) != ranks // stages:
                fail(f"{name}: its pipelines are not on record")
            if not 0 <= record["slowest"]["rank"] < ranks:
                fail(f"{name}: the slowest rank of its pipelines is not on record")
            for pipeline in record["shown"]:
                if len(pipeline["stages"]) != stages or len(pipeline["stages"][0]) != 2 * micro * record["chunks"]:
                    fail(f"{name}: a pipeline is not on record action by action")
            if micro >= stages and "zero_bubble" not in layout[-1] and record["bubble_predicted"] != (stages - 1) / (micro * record["chunks"]):
                fail(f"{name}: another bubble than the formula's")
    interchange(bench, "layout-0")
    for number, (_, *layout) in enumerate(LAYOUTS):
        if layout[0] in ("layout.tensor=2", "layout.context=2") or "layout.tensor=2" in layout:
            out_of_and_into(bench, number)
    for number in range(len(LAYOUTS)):
        copy_until(bench, f"layout-{number}", "moved", 20)
        ranks, *following = LAYOUTS[(number + 1) % len(LAYOUTS)]
        expect_close(one, bench.run(ranks, "moved", *following), "resumed with " + " ".join(following))
        shutil.rmtree(bench.path("moved"))


def tensors_in(path):
    """{name: (shape, bytes)} of a safetensors file."""
    with open(path, "rb") as stream:
        whole = stream.read()
    length = int.from_bytes(whole[:8], "little")
    found = {}
    for name, entry in json.loads(whole[8:8 + length]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            found[name] = (entry["shape"], whole[8 + length + begin:8 + length + end])
    return found


def tensors_of(folder):
    """The same of a Hugging Face folder of one file or many."""
    found = {}
    for path in glob.glob(os.path.join(folder, "*.safetensors")):
        found.update(tensors_in(path))
    return found


def ocoee(bench, ranks, *words):
    command = ([MPIRUN, str(ranks)] if ranks > 1 else []) + [bench.program, *words]
    environment = dict(os.environ, XDG_CACHE_HOME=bench.path("cache"), OMP_NUM_THREADS="1")
    done = subprocess.run(command, cwd=bench.folder, capture_output=True, text=True, env=environment)
    if done.returncode:
        fail(" ".join(command) + "\n" + done.stdout + done.stderr)


def interchange(bench, name):
    """Out of a sharded pipeline's run, in parts, into a run of other ranks, and out again: the same bits."""
    ocoee(bench, 1, "export", "--run", name, "--to", "whole")
    ocoee(bench, 4, "export", "--run", name, "--to", "parts", "--file-size", "0.00004")
    files = glob.glob(bench.path("parts", "*.safetensors"))
    tensors = [tensors_in(f) for f in files]
    if len(files) < 4:
        fail(f"export: {len(files)} files, which is no share for each of four ranks")
    if any(len(held) > 1 and sum(len(values) for _, values in held.values()) > 40000 for held in tensors):
        fail("export: a file of several tensors is larger than asked for")
    whole = tensors_of(bench.path("whole"))
    if not whole or tensors_of(bench.path("parts")) != whole:
        fail("export in parts gives other tensors")
    for ranks in (1, 3):
        ocoee(bench, ranks, "import", "parts", "--to", f"imported-{ranks}", "--data", bench.data)
        ocoee(bench, 1, "export", "--run", f"imported-{ranks}", "--to", f"again-{ranks}")
        if tensors_of(bench.path(f"again-{ranks}")) != whole:
            fail(f"imported by {ranks} ranks and exported again: other tensors")
    print(f"export and import: {len(whole)} tensors in {len(files)} files, bit-equal both ways")


def out_of_and_into(bench, number):
    """Weights leave a run of this layout as they are, and the run made of them goes on in this layout as on one rank."""
    ranks, *layout = LAYOUTS[number]
    ocoee(bench, 1, "export", "--run", f"layout-{number}", "--to", f"whole-{number}")
    ocoee(bench, 3, "export", "--run", f"layout-{number}", "--to", f"parts-{number}", "--file-size", "0.00004")
    whole = tensors_of(bench.path(f"whole-{number}"))
    if not whole or tensors_of(bench.path(f"parts-{number}")) != whole:
        fail(f"export of {' '.join(layout)}: three ranks write other tensors than one")
    if {name: shape for name, (shape, _) in whole.items()} != \
            {name: shape for name, (shape, _) in tensors_of(bench.path("whole")).items()}:
        fail(f"export of {' '.join(layout)}: other names or shapes than of another layout")
    losses = []
    for where, count, keys in (("alone", 1, []), ("laid-out", ranks, layout)):
        name = f"{where}-{number}"
        ocoee(bench, count, "import", f"parts-{number}", "--to", name, "--data", bench.data)
        ocoee(bench, count, "run", f"{name}/recipe.toml", "train.steps=4", "run.log_every=1", "run.threads=1",
              'run.device="cpu"', *keys)
        with open(bench.path(name, "metrics.jsonl"), encoding="utf-8") as stream:
            entries = [json.loads(line) for line in stream]
        losses.append({entry["step"]: entry["loss"] for entry in entries if entry["kind"] == "step"})
    expect_close(*losses, "imported from and into " + " ".join(layout))


def types_of(bench, checkpoint, prefix="optimizer."):
    done = subprocess.run([bench.program, "checkpoint", "inspect", checkpoint], cwd=bench.folder, capture_output=True, text=True, check=True)
    return {line.split()[1] for line in done.stdout.splitlines() if line.startswith("  " + prefix)}


def moments(bench):
    narrow, wide = 'precision.moments="bfloat16"', 'precision.moments="float32"'
    keep = "run.keep_checkpoints=9"
    whole = bench.run(2, "whole", narrow, keep)
    expect_close(whole, bench.run(1, "one", narrow), "1 rank against 2")
    float32 = bench.run(2, "wide", wide, keep)
    expect_close(float32, whole, "beside float32", 1e-3)
    if whole == float32:
        fail("the key changes nothing, so this proves nothing")
    for shard in ("none", "states", "gradients", "parameters"):
        copy_until(bench, "whole", shard, 20)
        found = bench.run(2, shard, narrow, f"layout.shard={shard}")
        if shard == "none":
            expect_equal(whole, found, "resumed")
        else:
            expect_close(whole, found, f"resumed with shards of {shard}")
    for source, target, kind in (("whole", "widened", "F32"), ("wide", "narrowed", "BF16")):
        copy_until(bench, source, target, 20)
        found = bench.run(2, target, wide if kind == "F32" else narrow, keep)
        expect_close(whole, found, target + " on the way", 1e-3)
        for step, wanted in ((20, {"F32", "BF16"} - {kind}), (30, {kind})):
            types = types_of(bench, f"{target}/checkpoints/step-{step}")
            if types != wanted:
                fail(f"{target}: the states of step {step} are {types}")
    ocoee(bench, 1, "checkpoint", "reshard", "whole/checkpoints/step-20", "--to", "parts/step-20", "--files", "3")
    ocoee(bench, 1, "checkpoint", "verify", "parts/step-20")
    if types_of(bench, "parts/step-20") != {"BF16"}:
        fail("reshard changes the type of states")
    copy_until(bench, "whole", "resharded", 20)
    shutil.rmtree(bench.path("resharded", "checkpoints", "step-20"))
    shutil.move(bench.path("parts", "step-20"), bench.path("resharded", "checkpoints"))
    expect_equal(whole, bench.run(2, "resharded", narrow), "resumed from other files")


def masters(bench):
    split, whole = ['precision.compute="bfloat16"', 'precision.masters="split"'], ['precision.compute="bfloat16"']
    keep = "run.keep_checkpoints=9"
    parts = bench.run(2, "parts", *split, keep)
    apart = bench.run(2, "apart", *whole, keep)
    expect_close(apart, parts, "beside whole masters", 1e-3)
    for shard in ("none", "states", "gradients", "parameters"):
        copy_until(bench, "parts", shard, 20)
        found = bench.run(2, shard, *split, f"layout.shard={shard}")
        if shard == "none":
            expect_equal(parts, found, "resumed")
        else:
            expect_close(parts, found, f"resumed with shards of {shard}", 1e-3)
    for source, target, keys in (("parts", "joined", whole), ("apart", "parted", split)):
        copy_until(bench, source, target, 20)
        expect_close(parts, bench.run(2, target, *keys, keep), target + " on the way", 1e-3)
        for step in (20, 30):
            types = types_of(bench, f"{target}/checkpoints/step-{step}", "blocks.")
            if types != {"F32"}:
                fail(f"{target}: the masters of step {step} are {types}")


def ranks_of(process):
    """The launcher's children, or the program itself."""
    try:
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="utf-8") as stream:
            return [int(pid) for pid in stream.read().split()]
    except FileNotFoundError:
        return []


def kill_all(process):
    for pid in ranks_of(process) + [process.pid]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()


def kill(bench, kills, ranks, seed):
    moments = random.Random(seed)
    frequent = ["train.checkpoint_every=2", "run.keep_checkpoints=3"]
    whole = bench.run(ranks, "whole", *frequent)
    during_save = progress = finished = 0
    last = -1
    for number in range(kills):
        process = bench.start(ranks, "killed", *frequent)
        # Every other kill waits for a half-written save; a random number of checkpoints come before it.
        target = last + 2 * moments.randrange(1, 4) if number else moments.randrange(0, 4)
        wants_save = number % 2 == 1
        while process.poll() is None:
            saved = bench.checkpoints("killed")
            if saved and saved[-1] >= target:
                if not wants_save or glob.glob(bench.path("killed", "checkpoints", "*.partial")):
                    break
            time.sleep(0.0002)
        if not wants_save:
            time.sleep(moments.random() * 0.05)
        finished += process.poll() is not None
        kill_all(process)
        during_save += bool(glob.glob(bench.path("killed", "checkpoints", "*.partial")))
        saved = bench.checkpoints("killed")
        if not saved:
            continue
        for step in saved:
            verified = subprocess.run([bench.program, "checkpoint", "verify", bench.path("killed", "checkpoints", f"step-{step}")],
                                      capture_output=True, text=True, check=False)
            if verified.returncode != 0:
                fail(f"kill {number + 1}: step {step} is in place but not whole: {verified.stderr}")
        if saved[-1] < last:
            fail(f"kill {number + 1}: the newest checkpoint went back from {last} to {saved[-1]}")
        progress += saved[-1] > last
        last = saved[-1]
        if last >= STEPS:  # it came to its end: the next kill begins anew
            shutil.rmtree(bench.path("killed"))
            last = -1
    expect_equal(whole, bench.run(ranks, "killed", *frequent), f"after {kills} kills of {ranks} ranks")
    if glob.glob(bench.path("killed", "checkpoints", "*.partial")):
        fail("a half-written save is still there")
    # A kill that comes too late proves nothing; and half of them are aimed at a save.
    if kills - finished < max(1, kills // 2):
        fail(f"{finished} of {kills} kills came when the run had ended")
    if kills >= 3 and during_save < max(1, kills // 4):
        fail(f"{during_save} of {kills} kills came during a save")
    print(f"{kills} kills: {during_save} left a half-written save, {progress} made progress before, {finished} came too late")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("proof", choices=["sameness", "resume", "layouts", "moments", "masters", "kill"])
    parser.add_argument("recipe", choices=sorted(RECIPES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ocoee-train-") as folder:
        bench = Bench(options.program, options.recipe, folder)
        if options.proof == "sameness":
            sameness(bench)
        elif options.proof == "resume":
            resume(bench)
        elif options.proof == "layouts":
            layouts(bench)
        elif options.proof == "masters":
            masters(bench)
        elif options.proof == "moments":
            moments(bench)
        else:
            print(f"seed {options.seed}")
            kill(bench, options.kills, options.ranks, options.seed)


if __name__ == "__main__":
    main()
