// SPDX-License-Identifier: Apache-2.0
// How calibration times calls of LibTorch.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include "cli/calibrate.h"
#include "nn/tensors.h"
#include "parallel/step_graph.h"

namespace ocoee::cli {

using Call = std::function<at::Tensor(int64_t set)>;

// Times calls as they are made in a training step, one after the other. On a GPU on operands that
// were last touched long ago, and results are kept until the pass is over; on a CPU on those of the
// call before: how long ago decides there what memory takes, which is timed apart.
class Stopwatch {
 public:
  Stopwatch(const device::Device& device, bool quick)
      : device_(device), quick_(quick), stream_(device) {}

  // So many sets of operands of `bytes` a call of a layer is timed on.
  int64_t sets(double bytes) const { return device_.is_cuda() ? far_sets(bytes) : 1; }
  // So many are more than the caches hold; few for a first look.
  int64_t far_sets(double bytes) const {
    if (quick_) return 3;
    const double most = device_.is_cuda() ? 4e8 : 1.2e8;
    return static_cast<int64_t>(std::clamp(most / bytes, 3.0, 100.0));
  }

  // Seconds of one call in passes over all sets: the quickest quarter takes no longer. On a CPU
  // each call is timed by itself, so that what else runs there disturbs few of them.
  double seconds(int64_t sets, const Call& call) const {
    parallel::StepGraph graph(device_, 1);
    std::vector<double> all;
    const auto pass = [&] {
      std::vector<at::Tensor> kept;
      for (int64_t set = 0; set < sets; ++set) {
        const double begin = now(), ran = thread_seconds();
        at::Tensor result = call(set);
        if (device_.is_cuda()) {
          kept.push_back(std::move(result));
          continue;
        }
        result.reset();
        // Other work takes a thread's processor away in the midst of long calls.
        all.push_back(at::get_num_threads() > 1 ? now() - begin
                                                : std::min(now() - begin, thread_seconds() - ran));
      }
    };
    const auto timed = [&] {
      const double begin = now();
      graph.run(pass);
      device::synchronize(nn::current_stream(device_));
      const double spent = now() - begin;
      if (device_.is_cuda()) all.push_back(spent / static_cast<double>(sets));
      return spent;
    };
    timed(), timed();
    all.clear();
    const double enough = quick_ ? 0 : 0.06;
    double spent = 0;
    const int64_t least = device_.is_cuda() || quick_ ? 3 : std::max<int64_t>(3, 12 / sets),
                  most = device_.is_cuda() ? 100 : std::max<int64_t>(100, 10000 / sets);
    for (int64_t i = 0; i < least || (spent < enough && i < most); ++i) spent += timed();
    std::sort(all.begin(), all.end());
    return all[all.size() / 4];
  }

 private:
  static double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  static double thread_seconds() {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }
  device::Device device_;
  bool quick_;
  parallel::StreamScope stream_;
};

using Tensors = std::vector<at::Tensor>;

inline Tensors many(int64_t sets, at::IntArrayRef shape, const at::TensorOptions& options) {
  Tensors out{at::randn(shape, options)};
  while (static_cast<int64_t>(out.size()) < sets) out.push_back(out[0].clone());
  return out;
}

// The layers of a transformer, forward and backward: `figures.fixed`, and seconds an element of a
// norm.
void measure_layers(const Stopwatch& watch, const at::TensorOptions& options, bool gpu,
                    DeviceFigures& figures);

}  // namespace ocoee::cli
