// SPDX-License-Identifier: Apache-2.0
// Threads that fill micro-batches ahead of the training step.
//
// Row r of micro-batch m of step s on data rank d is the sample at position
//   s * global + m * (micro * data_size) + d * micro + r,
// so the same step sees the same samples on any number of data ranks and micro-batches.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "data/source.h"

namespace ocoee::data {

struct BatchShape {
  int64_t global = 1;  // samples a step, over all data ranks
  int64_t micro = 1;   // rows of a micro-batch on one data rank
  int64_t data_rank = 0;
  int64_t data_size = 1;  // global must be a multiple of micro * data_size

  int64_t micro_batches() const { return global / (micro * data_size); }
  int64_t position(int64_t step, int64_t micro_batch, int64_t row) const {
    return step * global + micro_batch * micro * data_size + data_rank * micro + row;
  }
};

// Where batch memory comes from. The default is ordinary memory, aligned to 64 bytes; a trainer on
// a GPU gives pinned memory.
struct BatchMemory {
  std::function<std::shared_ptr<void>(size_t bytes)> allocate;
};

struct PrefetchOptions {
  int threads = 2;
  int depth = 4;  // micro-batches that are ready or in use at any time
  BatchMemory memory;
};

class Prefetcher {
 public:
  // One micro-batch on loan: its memory is refilled after the Batch has gone, so it must outlive
  // any asynchronous copy from it. It may outlive the Prefetcher. At most `depth` may be held at
  // once.
  class Batch {
   public:
    Batch(Batch&&) noexcept = default;
    Batch& operator=(Batch&&) noexcept = default;

    int64_t step() const { return step_; }
    int64_t index() const { return index_; }  // of the micro-batch within the step
    // Field i of the source, [micro, shape of the field...], contiguous.
    void* field(size_t i) const { return fields_[i]; }

   private:
    friend class Prefetcher;
    Batch() = default;
    int64_t step_ = 0, index_ = 0;
    std::vector<void*> fields_;
    std::shared_ptr<void> loan_;
  };

  // Begins with micro-batch 0 of `first_step`; ends before `end_step` (negative: never).
  Prefetcher(std::shared_ptr<const Source> source, BatchShape shape, int64_t first_step,
             int64_t end_step = -1, const PrefetchOptions& options = {});
  ~Prefetcher();  // waits for at most one sample a thread
  Prefetcher(const Prefetcher&) = delete;

  // The next micro-batch in order; waits until it is ready. Nothing after the last one. Rethrows
  // what the source threw while filling it, and does so again when called again. One caller at a
  // time.
  std::optional<Batch> next();

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace ocoee::data
