#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`ocoee tune` beside random search, Optuna's TPE and DeepHyper's CBO, with the planner as the truth.

    tuners.py --program build/ocoee [--seeds 20] [--budget 64] [--out FOLDER] [--methods gp,random,optuna,deephyper]
    tuners.py --program build/ocoee --table 22b --out FOLDER     # visits all layouts of another case, for bench_tuner

A 13B model on 128 devices of Frontier: 1,200 layouts, of which many do not fit. `ocoee tune --simulate --method random` visits all of
them once, which gives the best there is and the table that every method searches. Each then has the same budget for each seed; an
evaluation that does not fit is told as such in each tool's own way. Counted is the first evaluation within 2 % of the best; a search
that ends without one counts its budget. The peers come from PyPI into a virtual environment in FOLDER; --python names one that has them.

Each finished seed is a line of FOLDER/results.jsonl: a comparison that was cut short goes on from there, several at once can take a
method each, and the table is of what stands there. An evaluation of `ocoee tune` that differs from the table of all layouts ends it: another planner.
"""
import argparse
import contextlib
import io
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import warnings

PEERS = ["optuna==5.0.0", "deephyper==0.13.2"]
KNOBS = {"layout.tensor": "1,2,4,8", "layout.pipeline": "1,2,4,8,16", "batch.micro": "1,2,4,8,16",
         "layout.shard": "none,states,gradients,parameters", "layout.recompute": "none,selective,full"}
# machine, devices, [model] and samples a step, and the knobs that differ
CASES = {
    "13b": ("frontier", 128, "layers = 16\nwidth = 8192\nheads = 64\ncontext = 2048", 1024, {}),
    "22b": ("a100", 96, "layers = 48\nwidth = 6144\nheads = 48\ncontext = 2048", 768,
            {"layout.tensor": "1,2,3,4,6,8", "layout.pipeline": "1,2,3,4,6,8,12,16,24,48"}),
    "175b": ("frontier", 1024, "layers = 96\nwidth = 12288\nheads = 96\ncontext = 2048", 2048,
             {"layout.pipeline": "1,2,4,8,16,32", "batch.micro": "1,2,4,8"}),
    "530b": ("dgx-h100", 280, "layers = 105\nwidth = 20480\nheads = 128\ncontext = 2048", 2240,
             {"layout.pipeline": "1,5,7,35", "batch.micro": "1,2,4,8"}),
    "70b": ("dgx-h100", 512, "layers = 80\nwidth = 8192\nheads = 64\ncontext = 8192\nstyle = 'llama'\nkv_heads = 8\nfeed_forward = 28672", 1024, {}),
}
WORDS = ("layout.shard", "layout.recompute")
METHODS = {"gp": "ocoee tune", "random": "random search", "optuna": "Optuna TPE", "deephyper": "DeepHyper CBO"}
RECIPE = """version = 1
[run]
name = "tuners"
[task]
name = "text_lm"
files = ["{text}"]
vocabulary = 50688
[model]
{model}
[batch]
global = {samples}
[precision]
compute = "bfloat16"
[optimizer]
learning_rate = 1e-4
[train]
steps = 10
"""


def tune(program, folder, name, *options, case="13b"):
    out = folder / name
    if not (out / "tune.html").exists():
        machine, ranks, _, _, other = CASES[case]
        knobs = [word for key, values in (KNOBS | other).items() for word in ("--knob", f"{key}={values}")]
        done = subprocess.run([program, "tune", str(folder / "recipe.toml"), *knobs, "--ranks", str(ranks), "--simulate", "--machine", machine,
                               "--out", str(out), *options], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stderr[-2000:])
    lines = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()][1:]
    return [(tuple(t["point"]), t["value"] if t["outcome"] == "ok" else None) for t in lines]


def with_alike(program, folder, table):
    """`ocoee tune` tries one of the points that act alike; the peers may ask for any. Each of the others is a search of one point."""
    values = dict(table)
    for point in itertools.product(*(range(len(v.split(","))) for v in KNOBS.values())):
        if point in values:
            continue
        one = {key: v.split(",")[at] for (key, v), at in zip(KNOBS.items(), point)}
        out = folder / "alike" / "-".join(map(str, point))
        subprocess.run([program, "tune", str(folder / "recipe.toml"), *(w for key, v in one.items() for w in ("--knob", f"{key}={v}")), "--ranks",
                        str(CASES["13b"][1]), "--simulate", "--machine", CASES["13b"][0], "--out", str(out)], capture_output=True)
        trial = json.loads((out / "trials.jsonl").read_text().splitlines()[1])
        values[point] = trial["value"] if trial["outcome"] == "ok" else None
        assert values[point] in values.values(), f"{one} acts as no point of the table"
    return sorted(values.items())


def search_optuna(truth, seed, budget):
    import optuna
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, constraints_func=lambda trial: (trial.user_attrs["violation"],))
    study = optuna.create_study(sampler=sampler)
    worst = max(value for value in truth.values() if value)
    for _ in range(budget):
        trial = study.ask()
        point = []
        for key, values in KNOBS.items():
            choices = list(range(len(values.split(","))))
            point.append(trial.suggest_categorical(key, choices) if key in WORDS else trial.suggest_int(key, 0, choices[-1]))
        value = truth[tuple(point)]
        trial.set_user_attr("violation", -1 if value else 1)
        study.tell(trial, value or worst)
        yield value


def search_deephyper(truth, seed, budget, folder):
    from deephyper.hpo import CBO, HpProblem
    problem = HpProblem()
    for key, values in KNOBS.items():
        choices = values.split(",")
        problem.add_hyperparameter(choices if key in WORDS else (0, len(choices) - 1), key.replace(".", "_"))
    search = CBO(problem, random_state=seed, log_dir=str(folder / "deephyper"), verbose=0)
    for _ in range(budget):
        config = search.ask(1)[0]
        point = tuple(values.split(",").index(config[key.replace(".", "_")]) if key in WORDS else int(config[key.replace(".", "_")])
                      for key, values in KNOBS.items())
        value = truth[point]
        search.tell([(config, 1 / value if value else "F_does_not_fit")])
        yield value


def first_within(values, goal, budget):
    for count, value in enumerate(values, 1):
        if value and value <= goal:
            return count, True
    return budget, False


def results_of(folder):
    file = folder / "results.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return {(line["method"], line["seed"]): (line["evaluations"], line["found"]) for line in lines}


def search(options, folder, method):
    """The seeds that results.jsonl lacks."""
    truth = {tuple(point): value for point, value in json.loads((folder / "truth.json").read_text())}
    goal = 1.02 * min(value for value in truth.values() if value)
    warnings.simplefilter("ignore")
    for seed in range(1, options.seeds + 1):
        if (method, seed) in results_of(folder):
            continue
        if method == "optuna":
            values = search_optuna(truth, seed, options.budget)
        elif method == "deephyper":
            values = search_deephyper(truth, seed, options.budget, folder)
        else:
            trials = tune(os.path.abspath(options.program), folder, f"{method}-{seed}", "--method", method, "--seed", str(seed),
                          "--trials", str(options.budget))
            assert len({point for point, _ in trials}) == len(trials), "a trial was repeated"
            assert all(truth[point] == value for point, value in trials), "the table of all layouts is another planner's"
            values = [value for _, value in trials]
        with contextlib.redirect_stdout(io.StringIO()):
            count, found = first_within(values, goal, options.budget)
        with open(folder / "results.jsonl", "a") as file:
            file.write(json.dumps({"method": method, "seed": seed, "evaluations": count, "found": found}) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--budget", type=int, default=64)
    parser.add_argument("--out", default="tuners")
    parser.add_argument("--python", default="", help="an interpreter that has the peers")
    parser.add_argument("--table", default="", choices=["", *CASES], help="only visit all layouts of this case")
    parser.add_argument("--methods", default=",".join(METHODS), help="which of them to run")
    parser.add_argument("--peer", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = pathlib.Path(options.out).resolve()
    if options.peer:
        return search(options, folder, options.peer)
    folder.mkdir(parents=True, exist_ok=True)
    case = options.table or "13b"
    (folder / "text.txt").write_text("to be or not to be, " * 5000)
    (folder / "recipe.toml").write_text(RECIPE.format(text=folder / "text.txt", model=CASES[case][2], samples=CASES[case][3]))
    program = os.path.abspath(options.program)
    table = tune(program, folder, "all", "--method", "random", "--trials", "100000", case=case)
    best = min(value for _, value in table if value)
    near = sum(bool(value) and value <= 1.02 * best for _, value in table)
    print(f"{len(table)} layouts, {sum(bool(v) for _, v in table)} fit; the best takes {best:.2f} s, {near} are within 2 % of it")
    if options.table:
        return
    (folder / "truth.json").write_text(json.dumps(with_alike(program, folder, table)))
    methods = options.methods.split(",")
    python = options.python
    if not python and {"optuna", "deephyper"} & set(methods):
        python = str(folder / "venv" / "bin" / "python")
        if not os.path.exists(python):
            subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
            subprocess.run([python, "-m", "pip", "install", "-q", *PEERS], check=True)
    for method in methods:
        if method in ("gp", "random"):
            search(options, folder, method)
        else:
            subprocess.run([python, __file__, "--peer", method, "--program", program, "--seeds", str(options.seeds),
                            "--budget", str(options.budget), "--out", str(folder)], check=True)
    results = results_of(folder)
    print(f"{'':16}{'within 2 % in ' + str(options.budget):>20}{'evaluations: median':>21}{'mean':>7}{'most':>6}")
    for method, name in METHODS.items():
        of_seeds = [result for (which, _), result in results.items() if which == method]
        if not of_seeds:
            continue
        counts = [count for count, _ in of_seeds]
        print(f"{name:16}{sum(found for _, found in of_seeds):>13} of {len(of_seeds):<4}{statistics.median(counts):>20}"
              f"{statistics.mean(counts):>7.1f}{max(counts):>6}")


if __name__ == "__main__":
    main()
