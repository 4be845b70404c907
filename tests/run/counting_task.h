// SPDX-License-Identifier: Apache-2.0
// A task whose state after n steps is a pure function of n, whatever the ranks: arrays of several
// types, split by rows, by columns and in blocks, or replicated. Its losses are exact integers, so
// that runs on any number of ranks must agree to the last bit.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "run/task.h"

namespace ocoee::run::testing_support {

struct CountingConfig final : TaskConfig {
  std::string name = "counting";
  int64_t steps = 20, every = 5, rows = 37, milliseconds = 0, fail_at = -1, log_every = 1,
          start_milliseconds = 0;
  double rate = 0.25;
  std::vector<std::string> files;
  void describe(config::Description& recipe) override;
  void check(config::Problems&, const RunConfig&, int) const override {}
  comm::Shape mesh(int ranks) const override;
  nlohmann::json preview(const RunConfig& run, int ranks) const override;
};

class CountingTask final : public Task {
 public:
  CountingTask(const CountingConfig& config, Context& context);
  int64_t position() const override { return step_; }
  int64_t total() const override { return config_.steps; }
  int64_t checkpoint_every() const override { return config_.every; }
  void advance() override;
  void before_stop() override;
  State state() override;
  void loaded(const nlohmann::json& values) override;
  void finish() override;
  double best_metric() const override;

 private:
  struct Block {  // this rank's box of one array, in its own type
    std::string name;
    std::vector<int64_t> shape;
    DType dtype;
    Box box;
    std::vector<char> bytes;
    bool replicated = false;
  };
  void change(Block& block);
  uint64_t sum(const Block& block) const;

  CountingConfig config_;
  Context& context_;
  std::vector<Block> blocks_;
  void log();
  double loss_ = 0;
  int64_t step_ = 0, logged_ = 0;
};

TaskType counting_type();

}  // namespace ocoee::run::testing_support
