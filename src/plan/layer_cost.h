// SPDX-License-Identifier: Apache-2.0
// What one layer adds to the cost of its block. Kinds of layers that are known by name are taken
// apart into operations, whose seconds a Timer says and whose bytes are counted array by array; any
// other is costed by the sums of its LayerSpec.
//
// Shapes: T tokens of a micro-batch on a rank, t tensor ranks, Ts tokens where norms are split over
// these, w width, q and kv the widths of a rank's queries and keys, e bytes of an element. Seconds
// and bytes are those of a rank and a micro-batch.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "plan/block_cost.h"
#include "plan/collective.h"
#include "plan/timer.h"

namespace ocoee::plan {

// What moves the rows of the tensor axis.
Network::By mover_of_rows(const System& system, const Workload& workload);

class LayerCost {
 public:
  // Adds to `block`. `in_turns`: of a half of a micro-batch, whose exchanges run beside the work of
  // the other half.
  LayerCost(const Workload& workload, const System& system, const Network& network, Timer& timer,
            const Shape& shape, bool in_turns, BlockCost& block);

  void add(const LayerSpec& layer);
  // Of the last layer's forward pass, what makes nothing but its output.
  const WorkSeconds& output() const { return output_; }

 private:
  void operations(const LayerSpec& layer);
  void parameters(const LayerSpec& layer);
  void norm(const LayerSpec& layer);
  void mlp(const LayerSpec& layer);
  void embedding(const LayerSpec& layer);
  void head(const LayerSpec& layer);
  void head_in_chunks(double vocabulary, double w, double chunks);
  void other(const LayerSpec& layer);
  void stream(double forward, double backward, double arithmetic = 0, double gradient = 0);
  void residual(double w, bool dropout);
  bool drops(const LayerSpec& layer, const char* option) const;

  // Bytes that are kept for the backward pass, and that it holds.
  void keep(double none, double selective);
  void hold(double own, double made_again, double waits, double if_put_off = 0);
  double stream_gradients(double w, bool dropout) const;
  double selective_input(double w);
  double beside_selective(double w) const;
  double others(double w) const;
  double mask(double w, bool dropout) const;

  // product_cost.cpp
  void linear(double n, double k, bool bias, bool column_sums = true, bool in_float8 = true);
  void round_operands(double n, double k);
  double weight_product(double rows, double columns) const;
  double weight_product(double rows, double columns, double gradient) const;  // bytes it is kept in
  double packed_in_float32(double rows, double columns) const;
  bool multiplies(double rows, double columns) const;
  void multiplied(double rows, double columns, bool bias);
  void keeps_workspace(bool bias);
  // The library of products adds what stands beside them: a GPU's, which also takes a workspace.
  bool has_epilogues() const { return workspace() > 0; }
  double workspace() const { return timer_.device().workspace.value; }

  // attention_cost.cpp
  void attention(const LayerSpec& layer);
  void scores(double heads, double head, bool dropout, double kept, double given_up, double own,
              double waits);
  double library_gradients(double q, double kv, double heads) const;
  double probability_gradients(double q, double kv, double heads) const;
  double context_exchange(double q, double kv) const;

  // block_traffic.cpp
  void tensor_traffic(double width, bool input, bool output, bool products);
  void gather_and_sum(double width);
  void context_traffic(double bytes, double hidden_by);

  const System& system_;
  const Network& network_;
  Timer& timer_;
  BlockCost& b_;
  const Group group_, context_;
  const double t_, micro_, sequence_, T_, Ts_;
  const double e_, master_, gradient_;  // bytes of an element, in float32 or wider, of a gradient
  const double threads_, float8_;       // how many times quicker products are in float8; 0: in none
  const bool by_heads_, in_turns_;
  const Network::By by_;
  const bool own_rows_apart_;  // products take a rank's own rows first, while the others come
  std::array<double, 2> before_later_{};
  WorkSeconds output_;
};

}  // namespace ocoee::plan
