// SPDX-License-Identifier: Apache-2.0
// Seconds of single operations on one device. Where it is not known what a byte costs by the cache
// that holds it, an operation takes the longer of its arithmetic and its traffic with memory
// (roofline). Where it is (plan/reuse.h), the figures of arithmetic were measured on operands
// nearby, and what it takes to fetch them comes on top.
#pragma once

#include <algorithm>
#include <utility>

#include "plan/machine.h"

namespace ocoee::plan {

class Timer {
 public:
  // `tokens` of a micro-batch; `byte`: what moving one costs, 0 = not known.
  Timer(const Device& device, FlopsPerSecond peak, double element, double tokens, Seconds byte)
      : device_(device),
        peak_(peak),
        element_(element),
        tokens_(tokens),
        byte_(byte.value),
        launch_(device.launch.value) {}

  // `count` products [m, k] x [k, n]; `extra` bytes beside operands and result; `quicker`: than in
  // the compute type.
  double product(double m, double n, double k, double count = 1, double extra = 0,
                 double quicker = 1) const {
    const double flops = 2 * m * n * k * count;
    const double bytes = element_ * count * (m * k + k * n + m * n) + extra;
    return more(bytes, flops / (peak_.value * device_.product_share(flops, tokens_) * quicker)) +
           launch_;
  }
  // Forward and backward pass; `flops` of the forward pass, which are a third of all; `rows`:
  // tokens times heads; `bytes` of queries, keys, values and result, all of which the backward pass
  // moves once more, and their gradients.
  std::pair<double, double> attention(double flops, double head, double length, double rows,
                                      double bytes) const {
    const double both = 3 * flops /
                        (peak_.value * device_.attention(head) * device_.attention_length(length) *
                         device_.attention_rows(rows));
    const double forward = both / (1 + device_.attention_backward);
    return {forward + bytes * byte_ + launch_, both - forward + 2 * bytes * byte_ + launch_};
  }
  // `arithmetic`: seconds that the pass takes at least, whatever memory does.
  double stream(double bytes, double arithmetic = 0) const {
    return bytes > 0 ? more(bytes, arithmetic) + launch_ : 0;
  }
  // A pass of its own beside those that every layer of its kind has.
  double further(double bytes, double arithmetic = 0) const {
    return more(bytes, arithmetic) + device_.launch.value;
  }
  // What a pass that is there anyhow reads or writes more.
  double more(double bytes, double arithmetic = 0) const {
    if (byte_ > 0) return arithmetic + bytes * byte_;
    return std::max(arithmetic, bytes / (device_.bandwidth.value * device_.stream(bytes)));
  }
  const Device& device() const { return device_; }
  double random(double numbers) const { return device_.random > 0 ? numbers / device_.random : 0; }

  // Whether the layer at hand costs a launch for each operation, or what is known of its kind.
  void count_launches(bool on) { launch_ = on ? device_.launch.value : 0; }

 private:
  const Device& device_;
  FlopsPerSecond peak_;
  double element_, tokens_, byte_, launch_;
};

}  // namespace ocoee::plan
