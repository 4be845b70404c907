// SPDX-License-Identifier: Apache-2.0
// A model that is nothing but flat buffers on the test device, for tests of optimizers.
#pragma once

#include <memory>

#include "kernels/harness.h"
#include "optim/optimizer.h"

namespace ocoee::optim::test {

using kernels::test::Array;
using kernels::test::normal_values;
using kernels::test::test_device;
using kernels::test::test_stream;

struct FlatModel {
  DType dtype;
  int64_t count;
  Array master, gradient, value;
  std::vector<Array> states;

  FlatModel(DType type, const std::vector<double>& start, size_t state_count, DType of_states)
      : dtype(type),
        count(static_cast<int64_t>(start.size())),
        master(type, start),
        gradient(type, std::vector<double>(start.size(), 0.0)),
        value(DType::bf16, count) {
    for (size_t i = 0; i < state_count; ++i)
      states.emplace_back(of_states, std::vector<double>(start.size(), 0.0));
  }
  FlatModel(DType type, const std::vector<double>& start, size_t state_count)
      : FlatModel(type, start, state_count, type) {}
  Piece piece(int64_t begin, int64_t end) const {
    Piece p{begin,
            master.buffer().slice(begin, end - begin),
            gradient.buffer().slice(begin, end - begin),
            {},
            value.buffer().slice(begin, end - begin),
            begin};
    for (const Array& state : states) p.states.push_back(state.buffer().slice(begin, end - begin));
    return p;
  }
  Piece whole() const { return piece(0, count); }
  void set_gradient(const std::vector<double>& g) const {
    const Array from(dtype, g);
    device::copy(gradient.data(), test_device(), from.data(), test_device(), from.buffer().bytes(),
                 test_stream());
    device::synchronize(test_stream());
  }
};

// A step in which the piece is the whole model, on one rank.
inline void whole_step(Optimizer& optimizer, const Piece& piece) {
  optimizer.clear_norm(test_stream());
  optimizer.add_to_norm(piece.gradient, 1, test_stream());
  optimizer.finish(test_stream());
  optimizer.update(piece, test_stream());
}

inline OptimizerSetup setup_for(const OptimizerConfig& config, DType dtype, int64_t count,
                                int64_t updates = 100) {
  OptimizerSetup setup;
  setup.config = config;
  setup.total_updates = updates;
  setup.device = test_device();
  setup.dtype = dtype;
  setup.largest_piece = count;
  return setup;
}

}  // namespace ocoee::optim::test
