#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a report says of a run on four ranks is true: bytes by axis equal the formulas, the slowest rank is the one of the
trace, and the bubble is that of the timeline.

    report_of_ranks.py --program OCOEE
"""
import argparse
import html.parser
import json
import re
import tempfile

from trainer_runs import Bench, fail

RANKS, STEPS = 4, (2, 4)
VOCABULARY, WIDTH, HEADS, KV_HEADS, LAYERS, FEED_FORWARD, TOKENS = 261, 48, 4, 2, 2, 128, 16 * 48  # TOKENS: of a step
ROWS = 4 * TOKENS * WIDTH  # bytes of one activation of all tokens of a step


def tensor_and_pipeline():
    """Bytes of a step, of all ranks: tests/parallel/mpi/layout_test.cpp says where the numbers come from."""
    unsplit = (2 * LAYERS + 1) * WIDTH  # norms
    return {("tensor", "all_gather"): 2 * (6 * LAYERS + 3) * ROWS,
            ("tensor", "reduce_scatter"): 2 * (4 * LAYERS + 2) * ROWS,
            ("tensor", "all_reduce"): 2 * 4 * (3 * TOKENS + unsplit) + 8 * RANKS,  # and the norm of all gradients
            ("pipeline", "send"): 2 * ROWS, ("pipeline", "receive"): 2 * ROWS}


def context_and_data():
    def sliced(elements):
        return -(-elements // (64 * RANKS)) * 64 * RANKS
    block = (2 * WIDTH * WIDTH + 2 * WIDTH * WIDTH * KV_HEADS // HEADS + 3 * WIDTH * FEED_FORWARD + 2 * WIDTH)
    table = VOCABULARY * WIDTH
    weights = RANKS * 4 * (sliced(table) + LAYERS * sliced(block) + sliced(table + WIDTH))
    ring = LAYERS * 2 * ROWS * KV_HEADS // HEADS * (1 + 1 + 2)  # forward, backward, and gradients
    return {("replicas", "reduce_scatter"): weights, ("replicas", "all_gather"): weights,
            ("context", "send"): ring, ("context", "receive"): ring}


class Page(html.parser.HTMLParser):
    """The rows of tables, and the text, of each section of a report."""

    def __init__(self, path):
        super().__init__()
        self.rows, self.text, self.section, self.in_cell = {}, {}, "", False
        with open(path, encoding="utf-8") as stream:
            self.feed(stream.read())

    def handle_starttag(self, tag, attrs):
        if tag == "section":
            self.section = dict(attrs)["id"]
        elif tag == "tr":
            self.rows.setdefault(self.section, []).append([])
        elif tag == "td":
            self.rows[self.section][-1].append("")
        self.in_cell = tag == "td"

    def handle_endtag(self, tag):
        self.in_cell = False

    def handle_data(self, data):
        self.text[self.section] = self.text.get(self.section, "") + data
        if self.in_cell:
            self.rows[self.section][-1][-1] += data


def shown_bytes(value):
    for unit in ("B", "KiB", "MiB"):
        if value < 1024 or unit == "MiB":
            return f"{value:.0f} B" if unit == "B" else f"{value:.2f} {unit}"
        value /= 1024


def expect(true, what):
    if not true:
        fail(what)


def the_only(pattern, text):
    found = re.findall(pattern, text)
    expect(len(found) == 1, f"{len(found)} times {pattern} in: {text}")
    return found[0]


def run(bench, name, steps, layout):
    command = [f"train.steps={steps}", "train.evaluate_every=0", "train.checkpoint_every=0", "optimizer.warmup_steps=1"]
    code = bench.start(RANKS, name, *command, *layout).wait()
    with open(bench.path(name + ".out"), encoding="utf-8") as out:
        expect(code == 0, f"{name} ended with {code}:\n{out.read()}")
    with open(bench.path(name, "summary.json"), encoding="utf-8") as stream:
        return json.load(stream)


def check_bytes(summaries, page, formula):
    """Start and evaluation are the same in both runs: what the longer one has more is of its steps."""
    few, many = ({(e["axis"], e["kind"]): e["bytes"] for e in s["traffic"]} for s in summaries)
    for where, expected in formula.items():
        found = (many[where] - few[where]) / (STEPS[1] - STEPS[0])
        expect(found == expected, f"{where}: {found} bytes a step, and {expected} by the formula")
        print(f"{where}: {expected} bytes a step")
    for where, left in many.items():  # of numbers that all ranks agree on
        expect(where in formula or left < 1024, f"{where}: {left} bytes, of which no formula knows")
    shown = {(row[0], row[1]): row[3] for row in page.rows["traffic"] if row}
    expect(shown == {where: shown_bytes(value) for where, value in many.items()}, f"the report shows other bytes: {shown}")


def computed_by_rank(path):
    """Forward and backward of each rank, without the messages inside of them, from its trace."""
    with open(path, encoding="utf-8") as stream:
        spans = [e for e in json.load(stream)["traceEvents"] if e["ph"] == "X"]
    out = [0.0] * RANKS
    for rank in range(RANKS):
        of_rank = [(e["name"], e["ts"], e["ts"] + e["dur"]) for e in spans if e["pid"] == rank]
        for name, begin, end in of_rank:
            if name in ("forward", "backward"):
                inside = sum(e - b for n, b, e in of_rank if n == "communication" and b >= begin and e <= end + 0.05)
                out[rank] += (end - begin - inside) / 1e6
    return out


def check_slowest(summary, page, path):
    traced = computed_by_rank(path)
    named = int(the_only(r"The slowest is rank (\d+) on ", page.text["ranks"]))
    print(f"rank {named} is the slowest; forward and backward in seconds:", *(f"{t:.4f}" for t in traced))
    for seconds, other in zip(summary["ranks_record"]["seconds"], traced):
        expect(abs(seconds["forward"] + seconds["backward"] - other) < 2e-4, f"the trace has {traced}, the record {seconds}")
    expect(traced[named] > max(traced) - 2e-4, f"rank {named} is named, but it is not the slowest")


def check_bubble(summary, page, micro_batches):
    record = summary["pipeline"]
    computed, last = {}, 0
    for pipeline in record["shown"]:
        for stage, (rank, actions) in enumerate(zip(pipeline["ranks"], pipeline["stages"])):
            expect(len(actions) == 2 * micro_batches, f"{len(actions)} actions of rank {rank}")
            expect(f"stage {stage}, rank {rank}" in page.text["pipeline"], f"rank {rank} is not drawn")
            computed[rank] = sum(end - begin - waited for *_, begin, end, waited in actions)
            last = max(last, actions[-1][4])
    expect(sorted(computed) == list(range(RANKS)), f"drawn are {computed}")
    bubble = last * RANKS / sum(computed.values()) - 1
    expect(abs(record["bubble_measured"] / bubble - 1) < 1e-6, f"{bubble} in the timeline, {record['bubble_measured']} on record")
    measured, predicted = the_only(r"computed: ([\d.\s]+)\s% measured, ([\d.]+)\s% by the formula", page.text["pipeline"])
    measured = "".join(measured.split())
    expect(abs(float(measured) / 100 - bubble) < 6e-3, f"{measured} % are shown, {100 * bubble} are in the timeline")
    expect(float(predicted) == 100 * (2 - 1) / micro_batches, f"{predicted} % by the formula")
    named = int(the_only(r"the slowest in it is rank (\d+) on ", page.text["pipeline"]))
    expect(named == max(computed, key=computed.get), f"rank {named} is named, but ranks computed {computed}")
    print(f"bubble: {measured} % measured, {predicted} % by the formula; rank {named} is the slowest")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    options = parser.parse_args()
    for formula, *layout in ((tensor_and_pipeline, "layout.tensor=2", "layout.pipeline=2"),
                             (context_and_data, "layout.context=2", "layout.shard=states")):
        with tempfile.TemporaryDirectory(prefix="ocoee-report-") as folder:
            bench = Bench(options.program, "text_lm", folder)
            summaries = [run(bench, f"steps-{steps}", steps, layout) for steps in STEPS]
            last = f"steps-{STEPS[1]}"
            page = Page(bench.path(last, "report.html"))
            check_bytes(summaries, page, formula())
            check_slowest(summaries[1], page, bench.path(last, "trace.json"))
            if "pipeline" in layout[1]:
                check_bubble(summaries[1], page, micro_batches=4)


if __name__ == "__main__":
    main()
