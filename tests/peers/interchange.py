#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Our files in the hands of the programs that they are written for; interchange.sh installs those and starts this.

    interchange.py OCOEE [--goldens tests/interchange/golden]

Import: transformers makes a random model, Ocoee imports it, both compute logits. Export: back to a folder, and models
that Ocoee trained itself; transformers loads them and computes logits. Bound: 1e-4 in float32. safetensors opens
checkpoints and exports, and finds the same numbers in both; TensorBoard's reader finds in our events what metrics.jsonl
says. --goldens writes the models and logits that tests/interchange compares with where none of this is installed.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

BOUND = 1e-4
PROGRAM = "ocoee"
CONTEXT, VOCABULARY = 24, 69


def foreign_models():
    gpt2 = dict(vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=16, n_layer=2, n_head=4)
    llama = dict(vocab_size=VOCABULARY, max_position_embeddings=CONTEXT, hidden_size=16, num_hidden_layers=2,
                 num_attention_heads=4, intermediate_size=24)
    rope = {"rope_type": "default", "rope_theta": 500.0}
    yield "gpt2", transformers.GPT2Config(**gpt2)
    yield "gpt2_untied", transformers.GPT2Config(**gpt2, tie_word_embeddings=False, n_inner=40, layer_norm_epsilon=1e-3)
    yield "llama", transformers.LlamaConfig(**llama, num_key_value_heads=2, rope_parameters=rope)
    yield "llama_bias", transformers.LlamaConfig(**llama, num_key_value_heads=4, attention_bias=True, mlp_bias=True,
                                                 tie_word_embeddings=True, rms_norm_eps=1e-3)
    yield "llama_attention_bias", transformers.LlamaConfig(**llama, num_key_value_heads=1, attention_bias=True)


def random_model(config):
    torch.manual_seed(7)
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():  # biases and norms too: at their initial values they would hide mistakes
        for name, weight in model.named_parameters():
            if weight.dim() == 1:
                weight.copy_(torch.randn_like(weight) * 0.3 + (1.0 if name.endswith("weight") else 0.0))
            else:
                weight.copy_(torch.randn_like(weight) * 0.25)
    return model


def logits_of(model, tokens):
    with torch.no_grad():
        return model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits


def ocoee(*words):
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"ocoee {' '.join(map(str, words))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def ours(run, fasta, folder):
    file = folder / "logits.safetensors"
    ocoee("score", "--run", run, fasta, "--device", "cpu", "--logits", file)
    read = load_file(file)
    return read["tokens"], read["logits"]


def compare(label, a, b, failures):
    worst = (a - b).abs().max().item()
    print(f"{label:40s} largest difference {worst:.2e}  (largest logit {b.abs().max().item():.2f})")
    if not worst <= BOUND:
        failures.append(label)


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def check_import(fasta, work, goldens, failures):
    for name, config in foreign_models():
        model = random_model(config)
        folder = work / name
        model.save_pretrained(folder)
        run = work / f"run_{name}"
        ocoee("import", folder, "--to", run, "--data", fasta)
        tokens, logits = ours(run, fasta, work)
        compare(f"import {name}", logits, logits_of(model, tokens), failures)
        ocoee("export", "--run", run, "--to", work / f"back_{name}")
        compare(f"import and export {name}", logits, logits_of(load(work / f"back_{name}"), tokens), failures)
        if goldens and name in ("gpt2", "llama"):
            write_golden(goldens / name, model, tokens[:2])


def write_golden(folder, model, tokens):
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    save_file({"tokens": tokens.contiguous(), "logits": logits_of(model, tokens).contiguous()}, folder / "logits.safetensors")


def check_trained(fasta, work, failures):
    models = {"gpt2": 'style = "gpt2"', "llama": 'style = "llama"\nkv_heads = 2', "gpt2_no_bias": 'style = "gpt2"\nbias = "no"'}
    for name, model in models.items():
        recipe = work / f"{name}.toml"
        recipe.write_text(f"""version = 1
[run]
name = "{name}"
dir = {json.dumps(str(work / ("trained_" + name)))}
device = "cpu"
log_every = 1
[task]
name = "genome_lm"
fasta = [{json.dumps(str(fasta))}]
markov_order = -1
[model]
{model}
layers = 2
width = 32
heads = 4
context = 32
[batch]
global = 8
micro = 8
[optimizer]
learning_rate = 1e-2
[train]
steps = 30
""")
        ocoee("run", recipe)
        run = work / f"trained_{name}"
        tokens, logits = ours(run, fasta, work)
        ocoee("export", "--run", run, "--to", work / f"hf_{name}")
        compare(f"train and export {name}", logits, logits_of(load(work / f"hf_{name}"), tokens), failures)
        check_safetensors(name, run, work / f"hf_{name}", failures)
        check_events(name, run, failures)
    again = ocoee("run", work / "run_gpt2" / "recipe.toml", "train.steps=3", "task.markov_order=-1")
    print("an imported model trains on:", again.strip().splitlines()[-1] if again.strip() else "yes")


def check_safetensors(label, run, exported, failures):
    """One file of the whole checkpoint, and the export: the same embedding and, transposed or not, the same matrices."""
    whole = run / "whole"
    ocoee("checkpoint", "reshard", run, "--to", whole)
    (shard,) = whole.glob("*.safetensors")
    keys = json.loads((exported / "key_map.json").read_text())["tensors"]
    compared = 0
    with safe_open(shard, framework="pt") as ours, safe_open(exported / "model.safetensors", framework="pt") as theirs:
        there = set(ours.keys())
        for entry in keys:
            tensor = theirs.get_tensor(entry["hugging_face"])
            parts = [ours.get_tensor(name) for name in entry["ocoee"] if name in there]
            if len(parts) != len(entry["ocoee"]):
                failures.append(f"safetensors {label}: {entry['ocoee']} not in {shard.name}")
                continue
            expected = torch.cat(parts) if parts else torch.zeros_like(tensor)
            if not torch.equal(tensor, expected.T if entry["transposed"] else expected):
                failures.append(f"safetensors {label}: {entry['hugging_face']}")
            compared += 1
    print(f"safetensors {label:28s} {len(there)} tensors of a checkpoint, {compared} of its export: the same numbers")


def check_events(label, run, failures):
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    compared = 0
    for line in (run / "metrics.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["kind"] not in ("step", "evaluation"):
            continue
        group = "train" if entry["kind"] == "step" else entry["kind"]
        for key in ("loss", "learning_rate", "bits_per_base"):
            if key not in entry:
                continue
            found = [e.value for e in events.Scalars(f"{group}/{key}") if e.step == entry["step"]]
            if len(found) != 1 or abs(found[0] - entry[key]) > 1e-6 * max(1, abs(entry[key])):
                failures.append(f"TensorBoard {label}: {group}/{key} of step {entry['step']}: {found}, not {entry[key]}")
            compared += 1
    if compared < 20:
        failures.append(f"TensorBoard {label}: only {compared} values")
    print(f"TensorBoard {label:28s} {len(events.Tags()['scalars'])} curves, {compared} values as in metrics.jsonl")


def main():
    global PROGRAM
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--goldens", type=pathlib.Path)
    options = parser.parse_args()
    PROGRAM = options.program
    transformers.utils.logging.disable_progress_bar()
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    failures = []
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        fasta = work / "random.fasta"
        random.seed(1)
        fasta.write_text(">one\n" + "".join(random.choices("ACGT", k=6000)) + "\n>two\n" + "".join(random.choices("AAACGT", k=900)) + "\n")
        check_import(fasta, work, options.goldens, failures)
        check_trained(fasta, work, failures)
    if failures:
        sys.exit("failed: " + ", ".join(failures))
    print("all logits within 1e-4; all files read")


if __name__ == "__main__":
    main()
