// SPDX-License-Identifier: Apache-2.0
// A run directory as a training run would leave it, made of formulas and Philox noise: for tests,
// and to look at.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/random.h"
#include "report/scratch_folder.h"

namespace ocoee::report::testing_support {

struct SyntheticRun {
  int64_t steps = 650;
  int64_t log_every = 1;
  int64_t evaluate_every = 65;
  int64_t ranks = 2;
  int64_t resumed_at = 390;  // 0: never
  bool with_trace = true;
  bool with_summary = true;
  bool with_figures = false;  // an alloy's curves and slices, to exercise "figures"
  int parts = 0;              // further metrics "loss.partN"
};

inline double noise(uint64_t id, int64_t step) {
  return RandomStream(7, Purpose::noise, static_cast<uint64_t>(step), id).normal();
}

inline double smooth_loss(double progress) {
  return 3.62 + 0.52 * std::exp(-progress * 26) - 0.14 * progress;
}

inline nlohmann::json step_line(const SyntheticRun& run, int64_t step) {
  const double progress = static_cast<double>(step) / static_cast<double>(run.steps);
  const double warmup = std::min(1.0, static_cast<double>(step) / 32.0);
  nlohmann::json line;
  line["kind"] = "step";
  line["step"] = step;
  line["samples"] = step * 16;
  line["tokens"] = step * 16 * 256;
  line["loss"] = smooth_loss(progress) + 0.028 * noise(1, step);
  line["learning_rate"] = 3e-3 * warmup * (0.1 + 0.45 * (1 + std::cos(progress * M_PI)));
  line["gradient_norm"] = 0.42 + 2.1 * std::exp(-progress * 20) + 0.05 * std::abs(noise(2, step)) +
                          (step % 211 == 210 ? 1.7 : 0.0);
  line["seconds"] = 0.236 * static_cast<double>(step);
  line["tokens_per_second"] =
      step == 1 ? 6900.0 : 17350 + 240 * noise(3, step) - (step % 65 == 0 ? 2500 : 0);
  line["mfu"] = (step == 1 ? 0.17 : 0.412 + 0.006 * noise(3, step));
  line["hfu"] = line["mfu"];
  line["peak_bytes"] = 412.0 * (1 << 20) + (step > 65 ? 9.5 * (1 << 20) : 0);
  for (int part = 0; part < run.parts; ++part)
    line["loss.part" + std::to_string(part)] =
        1.0 / (part + 1) + 0.1 * noise(10 + static_cast<uint64_t>(part), step);
  return line;
}

inline std::string metrics_text(const SyntheticRun& run) {
  std::string text;
  const auto add = [&](const nlohmann::json& line) { text += line.dump() + "\n"; };
  const auto section = [&](int64_t from, int64_t to) {
    for (int64_t step = from; step <= to; ++step) {
      if (step % run.log_every == 0) add(step_line(run, step));
      const bool evaluates =
          run.evaluate_every > 0 && (step % run.evaluate_every == 0 || step == run.steps);
      if (!evaluates) continue;
      const double progress = static_cast<double>(step) / static_cast<double>(run.steps);
      const double bits = 1.888 + 0.098 * std::exp(-progress * 4.2) + 0.0006 * noise(4, step);
      add({{"kind", "evaluation"},
           {"step", step},
           {"tokens", step * 4096},
           {"loss", bits * 3 * std::log(2.0)},
           {"bits_per_base", bits}});
      add({{"kind", "checkpoint_saved"},
           {"step", step},
           {"path", fmt::format("checkpoints/step-{}", step)},
           {"seconds", 0.31}});
    }
  };
  add({{"kind", "run_started"}, {"step", 0}});
  add({{"kind", "note"},
       {"step", 0},
       {"message", "global batch 16 = 2 replicas x 8 samples, no accumulation"}});
  if (run.resumed_at > 0) {
    section(1, run.resumed_at + 37);  // these 37 steps are lost, and logged again after the resume
    add({{"kind", "warning"},
         {"step", run.resumed_at + 37},
         {"message", "SIGTERM from the batch system: stopping"}});
    add({{"kind", "checkpoint_loaded"},
         {"step", run.resumed_at},
         {"path", fmt::format("checkpoints/step-{}", run.resumed_at)}});
  }
  section(run.resumed_at > 0 ? run.resumed_at + 1 : 1, run.steps);
  add({{"kind", "run_finished"}, {"step", run.steps}});
  return text;
}

inline nlohmann::json markov_table() {
  nlohmann::json table = nlohmann::json::array();
  const double bits[] = {1.9997, 1.9828, 1.9644, 1.9522, 1.9441, 1.9374, 1.9328,
                         1.9305, 1.9329, 1.9432, 1.9590, 1.9697, 1.9763};
  for (int k = 0; k <= 12; ++k) table.push_back({{"k", k}, {"bits_per_base", bits[k]}});
  return table;
}

inline nlohmann::json
lattice_figure() {  // an L1_2 crystal, Cu3Au, with a few atoms on the wrong sites
  nlohmann::json positions = nlohmann::json::array(), species = nlohmann::json::array();
  const double basis[4][3] = {{0, 0, 0}, {0.5, 0.5, 0}, {0.5, 0, 0.5}, {0, 0.5, 0.5}};
  for (int i = 0; i < 256; ++i) {
    const int cell = i / 4, offset[] = {cell % 4, cell / 4 % 4, cell / 16};
    for (int k = 0; k < 3; ++k) positions.push_back(3.75 * (offset[k] + basis[i % 4][k]));
    species.push_back((i % 4 == 0) != (noise(22, i) > 2) ? 1 : 0);
  }
  return {{"chart", "lattice"},         {"title", "Ordered crystal at 300 K"},
          {"positions", positions},     {"species", species},
          {"categories", {"Cu", "Au"}}, {"cell", {15, 0, 0, 0, 15, 0, 0, 0, 15}}};
}

inline nlohmann::json alloy_figures() {
  nlohmann::json heat, order, error, temperature, slice = nlohmann::json::array();
  for (int i = 0; i < 28; ++i) {
    const double t = 300 + 50.0 * i;
    temperature.push_back(t);
    heat.push_back(0.4 + 2.6 * std::exp(-std::pow((t - 663) / 90, 2)) + 0.05 * noise(20, i));
    error.push_back(0.05 + 0.12 * std::exp(-std::pow((t - 663) / 120, 2)));
    order.push_back(1.0 / (1 + std::exp((t - 663) / 45)));
  }
  for (int y = 0; y < 64; ++y)
    for (int x = 0; x < 64; ++x) {
      const bool gold = (x + y) % 2 == 0 && y % 2 == 0;
      slice.push_back((noise(21, y * 64 + x) > 1.4) != gold ? 1 : 0);
    }
  using J = nlohmann::json;
  return J::array(
      {J{{"chart", "line"},
         {"title", "Heat capacity"},
         {"caption", "Error bars: one standard error by blocking."},
         {"x", {{"label", "temperature, K"}}},
         {"y", {{"label", "heat capacity, k per atom"}, {"from_zero", true}}},
         {"series",
          J::array({J{{"name", "L = 24"}, {"x", temperature}, {"y", heat}, {"error", error}}})},
         {"references",
          J::array({J{{"label", "transition 663 K"}, {"value", 663}, {"vertical", true}}})}},
       lattice_figure(),
       J{{"chart", "heat"},
         {"title", "Slice at 300 K"},
         {"columns", 64},
         {"rows", 64},
         {"values", slice},
         {"colours", "categories"},
         {"categories", {"Cu", "Au"}}},
       J{{"chart", "heat"},
         {"title", "Correlations"},
         {"columns", 3},
         {"rows", 3},
         {"values", {-0.33, 0.11, 0.02, 0.11, -0.25, 0.07, 0.02, 0.07, 0.18}},
         {"colours", "diverging"},
         {"column_names", {"Cu", "Au", "Ni"}},
         {"row_names", {"Cu", "Au", "Ni"}}},
       J{{"chart", "bars"},
         {"title", "Time by layout"},
         {"unit", "seconds"},
         {"rows", J::array({J{{"name", "tensor 2"},
                              {"segments",
                               J::array({J{{"name", "compute"}, {"value", 3.1}},
                                         J{{"name", "exposed communication"}, {"value", 1.2}}})}},
                            J{{"name", "pipeline 2"},
                              {"segments", J::array({J{{"name", "compute"}, {"value", 3.1}},
                                                     J{{"name", "bubble"}, {"value", 0.6}}})}}})}},
       J{{"chart", "table"},
         {"title", "Transitions"},
         {"columns", {"cell", "T, K", "error"}},
         {"rows",
          J::array({J::array({"L = 12", 671.2, 1.9}), J::array({"L = 24", 663.4, 0.8})})}}});
}

inline nlohmann::json summary_json(const SyntheticRun& run) {
  const double total = 0.236 * static_cast<double>(run.steps);
  nlohmann::json summary = {
      {"task", "genome_lm"},
      {"name", "genome_ecoli_demo"},
      {"status", "finished"},
      {"steps", run.steps},
      {"tokens", run.steps * 4096},
      {"seconds", total},
      {"ranks", run.ranks},
      {"device", "cpu"},
      {"command", "mpirun -n 2 build/ocoee run recipes/genome_ecoli_demo.toml"},
      {"final", {{"loss", 3.4823}, {"bits_per_base", 1.8895}}},
      {"headline",
       nlohmann::json::array(
           {{{"label", "held-out bits per base"},
             {"value", 1.8895},
             {"unit", "bits"},
             {"better", "lower"},
             {"reference", {{"label", "best order-k Markov model (k = 7)"}, {"value", 1.9305}}}}})},
      {"baselines",
       nlohmann::json::array(
           {{{"metric", "bits_per_base"}, {"label", "order-7 Markov"}, {"value", 1.9305}},
            {{"metric", "bits_per_base"}, {"label", "order-3 Markov"}, {"value", 1.9522}},
            {{"metric", "bits_per_base"}, {"label", "order-0 Markov"}, {"value", 1.9997}}})},
      {"markov", markov_table()},
      {"traffic",
       nlohmann::json::array(
           {{{"axis", "data"},
             {"kind", "all_reduce"},
             {"calls", run.steps * 3},
             {"bytes", 7.4e6 * static_cast<double>(run.steps)}},
            {{"axis", "data"}, {"kind", "broadcast"}, {"calls", 40}, {"bytes", 7.4e6}}})},
      {"seconds_by_phase",
       {{"forward", 0.27 * total},
        {"backward", 0.49 * total},
        {"optimizer", 0.07 * total},
        {"data", 0.012 * total},
        {"communication", 0.06 * total},
        {"evaluation", 0.055 * total},
        {"checkpoint", 0.012 * total}}}};
  if (run.with_figures) summary["figures"] = alloy_figures();
  return summary;
}

inline std::string trace_text(const SyntheticRun& run) {
  using nlohmann::json;
  std::string out = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
  const auto add = [&](const json& event) {
    out += (out.back() == '\n' && out[out.size() - 2] == '[' ? "" : ",") + event.dump() + "\n";
  };
  for (int64_t rank = 0; rank < run.ranks; ++rank) {
    add({{"ph", "M"},
         {"name", "process_name"},
         {"pid", rank},
         {"args", {{"name", fmt::format("rank {}", rank)}}}});
    const char* threads[] = {"compute", "comm:data", "io"};
    for (int tid = 0; tid < 3; ++tid)
      add({{"ph", "M"},
           {"name", "thread_name"},
           {"pid", rank},
           {"tid", tid},
           {"args", {{"name", threads[tid]}}}});
    const auto span = [&](const char* name, int tid, double begin, double length, int64_t step) {
      add({{"ph", "X"},
           {"name", name},
           {"pid", rank},
           {"tid", tid},
           {"ts", std::round(begin * 1e6)},
           {"dur", std::round(length * 1e6)},
           {"args", {{"step", step}}}});
    };
    for (int64_t step = 1; step <= std::min<int64_t>(run.steps, 40); ++step) {
      const double jitter = 0.004 * std::abs(noise(30 + static_cast<uint64_t>(rank), step));
      double t = 1.5 + 0.236 * static_cast<double>(step);
      span("data", 0, t, 0.003, step);
      span("forward", 0, t += 0.004, 0.066 + jitter, step);
      for (int layer = 0; layer < 4; ++layer)
        span("layer", 0, t + 0.001 + layer * 0.016, 0.015, step);
      const double backward = t += 0.068 + jitter;
      span("backward", 0, backward, 0.122, step);
      for (int bucket = 0; bucket < 4; ++bucket)
        span("all_reduce", 1, backward + 0.034 * (bucket + 1), 0.011, step);
      span("optimizer", 0, backward + 0.139, 0.016, step);
      if (step % 13 == 0) span("checkpoint", 2, backward + 0.1, 0.12, step);
    }
  }
  return out + "]}\n";
}

inline void write_synthetic_run(const std::filesystem::path& folder, const SyntheticRun& run) {
  std::filesystem::create_directories(folder);
  const auto write = [&](const char* name, const std::string& text) {
    write_text(folder / name, text);
  };
  write("metrics.jsonl", metrics_text(run));
  write("recipe.toml",
        "version = 1\n\n[run]\nname = \"genome_ecoli_demo\"   # runs/NAME\nseed = "
        "1\n\n[task]\nname = \"genome_lm\"\n"
        "fasta = [\"data/ecoli_mg1655.fasta.gz\"]\ntokens = \"codon\"  # nucleotide | codon | "
        "kmer\nheld_out = 0.1\n\n"
        "[model]\nlayers = 4\nwidth = 128\nheads = 4\ncontext = 256\n\n[batch]\nglobal = 16\nmicro "
        "= 8\n\n[optimizer]\n"
        "name = \"adamw\"\nlearning_rate = 3e-3\nweight_decay = 0.1\nclip = 1.0\nschedule = "
        "\"cosine\"\nwarmup_steps = 32\n\n"
        "[train]\nsteps = 650\nevaluate_every = 65\ncheckpoint_every = 65\n");
  write("plan.json",
        nlohmann::json({{"parameters", 834176},
                        {"flops_per_step", 2.3e10},
                        {"peak_flops", 2.4e11},
                        {"flop_convention", "6 N + 12 L d T per token, embedding lookups apart"},
                        {"memory_bytes",
                         {{"weights", 3336704},
                          {"gradients", 3336704},
                          {"optimizer", 6673408},
                          {"activations", 371195904.0},
                          {"temporary", 62914560}}},
                        {"lines", {"0.83 M parameters"}}})
            .dump(1));
  write("environment.json",
        nlohmann::json(
            {{"host", "node-17"},
             {"cpu", "Intel(R) Xeon(R) Platinum 8480C"},
             {"isa", {{"level", "x86-64-v4"}, {"flags", {"avx2", "avx512f", "amx_bf16"}}}},
             {"memory_gib", 16},
             {"libtorch", "2.11.0"},
             {"mpi", {{"library", "Open MPI 4.1.4"}, {"ranks", run.ranks}}},
             {"ocoee", {{"version", "0.1.0"}, {"commit", "2c05ec8"}, {"build", "Release"}}},
             {"environment", {{"OMP_NUM_THREADS", "1"}, {"SLURM_JOB_ID", nullptr}}}})
            .dump(1));
  if (run.with_summary) write("summary.json", summary_json(run).dump(1));
  if (run.with_trace) write("trace.json", trace_text(run));
}

}  // namespace ocoee::report::testing_support
