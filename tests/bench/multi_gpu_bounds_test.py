#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench/multi_gpu/bounds.py is silent over figures within their bounds, and names each one that is moved beyond."""
import copy
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench/multi_gpu"))
import bounds  # noqa: E402

MODELS = {"1558m": dict(layers=48, width=1600)}
STATES = 12 * bounds.parameters(48, 1600) / 2  # what each of two GPUs is spared


def row(layout, of_slowest=None, tokens=100.0, peak=70e9, **more):
    out = {"model": "1558m", "layout": layout, "tokens_per_second": tokens, "step_seconds": 0.3, "planned_seconds": 0.31,
           "peak_bytes": peak, "planned_bytes": 1.02 * peak, **more}
    return out if of_slowest is None else out | {"of_slowest": of_slowest}


GOOD = {
    "collectives": [{"kind": "all_reduce", "bytes": 8192, "ocoee_us": 10.0, "torch_us": 9.8}],
    "training": [row("one GPU, card 0"), row("data 2", 0.98), row("data 2, states sharded", 0.96, peak=70e9 - STATES),
                 row("data 2, parameters sharded", 0.93), row("tensor 2, 20 heads of 80", 0.86),
                 row("pipeline 2, 1f1b", 0.9, 100.0, bubble=0.07, ideal_bubble=0.0625),
                 row("pipeline 2, zero_bubble", 0.9, 101.0, bubble=0.04, ideal_bubble=0.0208),
                 {"model": "1558m", "layout": "PyTorch ddp", "tokens_per_second": 70.0, "of_slowest": 0.7, "peak_bytes": 9e10}],
    "losses": {"largest_difference": {"one GPU": 0.005, "turns": 0.004}},
    "faults": [{"layout": "data", "seconds": 0.1, "message": "rank 1 of 2 died"}],
}
BEYOND = [  # where it stands, a value beyond the bound, what is said
    (("collectives", 0, "ocoee_us"), 10.2, "all_reduce, 8192 bytes"),
    (("training", 1, "of_slowest"), 0.96, "data 2: 0.960"),
    (("training", 2, "of_slowest"), 0.95, "of data parallelism alone"),
    (("training", 2, "peak_bytes"), 70e9 - 0.9 * STATES, "12 bytes a parameter"),
    (("training", 3, "of_slowest"), 0.91, "parameters sharded: 0.910"),
    (("training", 4, "of_slowest"), 0.84, "20 heads of 80: 0.840"),
    (("training", 5, "bubble"), 0.10, "1f1b: a step takes"),
    (("training", 6, "tokens_per_second"), 99.0, "no quicker than 1F1B"),
    (("training", 0, "planned_seconds"), 0.33, "planned 330.0 ms"),
    (("training", 0, "planned_bytes"), 69.9e9, "planned 69.90 GB"),
    (("training", 0, "planned_bytes"), 78e9, "planned 78.00 GB"),
    (("losses", "largest_difference", "turns"), 0.011, "losses, turns"),
    (("faults", 0, "seconds"), 11.0, "after 11.0 s"),
    (("faults", 0, "message"), None, "said None"),
]


def missed(results, plain=True):
    return bounds.missed(results, MODELS, 2, plain)


class Bounds(unittest.TestCase):
    def test_silent_within(self):
        self.assertEqual(missed(GOOD), [])
        self.assertEqual(missed({}), [])

    def test_each_is_named_beyond(self):
        for path, value, said in BEYOND:
            with self.subTest(path=path, value=value):
                results = copy.deepcopy(GOOD)
                place = results
                for step in path[:-1]:
                    place = place[step]
                place[path[-1]] = value
                lines = missed(results)
                self.assertTrue(any(said in line for line in lines), lines)

    def test_bytes_of_states_only_where_they_are_known(self):
        results = copy.deepcopy(GOOD)
        results["training"][2]["peak_bytes"] = 70e9
        results["training"][2]["planned_bytes"] = 71e9
        self.assertEqual(len(missed(results)), 1)
        self.assertEqual(missed(results, plain=False), [])


if __name__ == "__main__":
    unittest.main()
