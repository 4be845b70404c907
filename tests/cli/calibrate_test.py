#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ocoee calibrate writes a profile in which every figure is one: on one rank, and on two with their links.

    tests/cli/calibrate_test.py OCOEE MPIRUN_SH [hdf5]
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import tomllib

ocoee, mpirun = (os.path.abspath(path) for path in sys.argv[1:3])
has_hdf5 = sys.argv[3:] == ["hdf5"]


def profile(ranks):
    command = [ocoee, "calibrate", "--out", f"machines/{ranks}.toml", "--name", "here", "--device", "cpu", "--quick"]
    if ranks > 1:
        command = [mpirun, str(ranks)] + command
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tomllib.loads(pathlib.Path(f"machines/{ranks}.toml").read_text())


with tempfile.TemporaryDirectory(prefix="ocoee-calibrate-") as folder:
    os.chdir(folder)
    for ranks in (1, 2):
        machine = profile(ranks)
        device = machine["device"]
        for name in ("memory", "bandwidth", "float32", "bfloat16", "float64", "launch", "random"):
            assert device[name] > 0, name
        # No order of speeds: another process may have run beside one of them.
        assert min(device["float32"], device["float64"]) > 1e8, device
        for kind in ("embedding", "norm", "attention", "mlp", "head"):
            forward, backward = device["fixed_" + kind]
            assert forward > 0 and backward > 0, kind
        for curve in ("product", "attention", "stream", "reuse"):
            at, share = device[curve + "_at"], device[curve + "_share"]
            assert len(at) == len(share) > 2 and at == sorted(at), curve
            assert all(0 < s < 2 for s in share), (curve, share)
        assert max(device["product_share"]) == 1
        assert machine["node"]["devices"] == ranks
        assert machine["storage"]["read"] > 0 and machine["storage"]["write"] > 0
        assert ("hdf5_read" in machine["storage"]) == has_hdf5 and machine["storage"].get("hdf5_read", 1) > 1e6
        if ranks > 1:
            node = machine["node"]
            assert node["latency"] >= 0 and 0 < node["latency"] + node["call"] < 1 and 0 < node["message_latency"] < 1
            assert node["bandwidth"] > 1e6 and node["overlap_loss"] == 1
            for curve in ("efficiency", "gather_efficiency", "message_efficiency"):
                assert len(node[curve + "_at"]) == len(node[curve + "_share"]) > 2, curve
                assert all(0 < s <= 1 for s in node[curve + "_share"]), node
    assert not list(pathlib.Path("machines").glob(".ocoee*"))
print("ok")
