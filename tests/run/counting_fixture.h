// SPDX-License-Identifier: Apache-2.0
// Runs of the counting task as child processes, on one rank or by mpirun, and what they leave
// behind.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "comm/world.h"
#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "run/checkpoint.h"
#include "run/process.h"
#include "run/scratch.h"

namespace ocoee::run::testing_support {

class Counting : public testing::Test {
 protected:
  using Arguments = std::vector<std::string>;
  struct Ended {
    int code = 0;
    std::string output;
  };

  std::filesystem::path folder(const std::string& name = "a") const { return scratch_ / name; }
  std::filesystem::path checkpoints(const std::string& name = "a") const {
    return folder(name) / "checkpoints";
  }

  // The command line of a run in folder(name).
  Arguments command(int ranks, const std::string& name, const Arguments& extra) const {
    write_file_atomically(scratch_ / "recipe.toml", "version = 1\n[task]\nname = \"counting\"\n");
    Arguments all;
    if (ranks > 1) all = {OCOEE_SOURCE_DIR "/tests/mpirun.sh", std::to_string(ranks)};
    all.insert(all.end(), {OCOEE_COUNTING_RUN, (scratch_ / "recipe.toml").string(),
                           "run.dir=\"" + folder(name).string() + "\""});
    all.insert(all.end(), extra.begin(), extra.end());
    return all;
  }
  Ended run(int ranks, const std::string& name, const Arguments& extra,
            const std::map<std::string, std::string>& environment = {}) const {
    Process process(command(ranks, name, extra), scratch_ / (name + ".out"), environment);
    const int code = process.wait();
    return {code, process.output()};
  }

  std::map<int64_t, double> losses(const std::string& name = "a") const {
    return logged("loss", name);
  }

  // A number of metrics.jsonl by step; fails when a step stands there twice.
  std::map<int64_t, double> logged(const std::string& key, const std::string& name = "a") const {
    std::map<int64_t, double> out;
    for (const std::string& line : split(read_file(folder(name) / "metrics.jsonl"), '\n')) {
      const auto entry = nlohmann::json::parse(line, nullptr, false);
      if (!entry.is_object() || entry["kind"] != "step") continue;
      EXPECT_TRUE(out.emplace(entry["step"], entry[key]).second)
          << "step " << entry["step"] << " is logged twice";
    }
    return out;
  }

  // Every array of a checkpoint, whole, as bytes.
  static std::map<std::string, std::string> arrays(const std::filesystem::path& checkpoint) {
    std::map<std::string, std::string> out;
    State state;
    for (const ManifestArray& array : read_manifest(checkpoint).arrays) {
      const Box whole{std::vector<int64_t>(array.shape.size(), 0), array.shape};
      std::string& bytes = out[array.name];
      bytes.resize(static_cast<size_t>(whole.elements()) * size_of(array.dtype));
      state.arrays.push_back(
          {array.name, array.shape, array.dtype, {host_piece(whole, bytes.data(), array.dtype)}});
    }
    comm::World world = comm::World::alone();
    load_checkpoint(checkpoint, state, *world.host());
    return out;
  }

  // Waits until `name` holds a checkpoint at or after `step`.
  bool wait_for_checkpoint(int64_t step, Process& process, const std::string& name = "a") const {
    while (process.running()) {
      const auto steps = checkpoint_steps(checkpoints(name));
      if (!steps.empty() && steps.back() >= step) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }

  Scratch scratch_;
};

}  // namespace ocoee::run::testing_support
