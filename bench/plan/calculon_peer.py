#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The planner's speed beside Calculon's (github.com/calculon-ai/calculon, SC'23), on the same core in one command.

    calculon_peer.py CALCULON BENCH_PLAN      CALCULON: a checkout; BENCH_PLAN: the program of this folder

Prints Calculon's evaluations of its own GPT-3 175B example a second, its errors against Table 5 of 2205.05198, and then
what bench_plan prints. Needs numpy, psutil and pandas, as Calculon does.
"""
import argparse
import logging
import os
import subprocess
import sys
import time


def evaluations(folder):
    sys.path.insert(0, folder)
    import calculon
    from calculon.llm.llm import Llm
    from calculon.system import System
    log = logging.getLogger("calculon")
    log.setLevel(logging.ERROR)

    def read(path):
        return calculon.io.read_json_file(os.path.join(folder, path))

    system = System(read("systems/a100_80g.json"))
    model = Llm.Application(read("models/gpt3-175B.json"))
    execution = Llm.Execution.from_json(read("validation/seqsel/tab5/gpt3-175B_seqsel.json"))

    def once():
        planned = Llm(model, log)
        planned.compile(system, execution)
        planned.run(system)
        planned.get_stats_json(False)

    once()
    best = 0
    for _ in range(5):
        begin, count = time.process_time(), 100
        for _ in range(count):
            once()
        best = max(best, count / (time.process_time() - begin))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("calculon")
    parser.add_argument("bench_plan")
    options = parser.parse_args()
    folder = os.path.abspath(options.calculon)
    print(f"Calculon: {evaluations(folder):.0f} evaluations a second and core")
    environment = dict(os.environ, PYTHONPATH=folder + ":" + os.environ.get("PYTHONPATH", ""))
    shown = subprocess.run([sys.executable, os.path.join(folder, "bin", "calculon"), "llm-validation"], cwd=folder,
                           env=environment, capture_output=True, text=True, check=True).stdout
    print("Calculon against Table 5:\n" + shown[shown.index("End-to-end"):].rstrip(" ,\n"))
    print("Ocoee:", flush=True)
    subprocess.run([os.path.abspath(options.bench_plan)], check=True)


if __name__ == "__main__":
    main()
