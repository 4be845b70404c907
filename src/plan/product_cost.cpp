// SPDX-License-Identifier: Apache-2.0
// Products of a layer with its weights: their seconds, what they hold while they run, and the
// workspaces of the libraries that multiply.
#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "plan/layer_cost.h"

namespace ocoee::plan {

// y[T, n] = x[T, k] W: two products come back. Weight gradients are added to what they are kept
// in, or, in the compute type, are the result itself; a bias's is the sum of the columns, or
// falls out of another pass.
void LayerCost::linear(double n, double k, bool bias, bool column_sums, bool in_float8) {
  multiplied(n, k, bias);
  const bool small = in_float8 && float8_ > 0;
  const double quicker = small ? float8_ : 1;
  if (small) round_operands(n, k);
  if (bias && system_.by_tensor && !has_epilogues())
    b_.forward.of(Work::stream) += timer_.stream(2 * e_ * n * T_);
  b_.forward.of(Work::product) += timer_.product(T_, n, k, 1, 0, quicker);
  b_.input.of(Work::product) += timer_.product(T_, k, n, 1, 0, quicker);
  const double added = gradient_ == 2 ? 0 : 2 * gradient_;
  b_.weight.of(Work::product) += timer_.product(n, k, T_, 1, added * n * k, quicker);
  if (bias && column_sums && system_.by_tensor)
    b_.weight.of(Work::stream) += timer_.stream(e_ * n * T_);
}

// Each of the three products reads its two operands once before, and writes them in one byte.
void LayerCost::round_operands(double n, double k) {
  const double x = k * T_, y = n * T_, weight = n * k;
  for (const auto& [pass, first, second] :
       {std::tuple{&b_.forward, x, weight}, {&b_.input, y, weight}, {&b_.weight, y, x}})
    pass->of(Work::stream) += timer_.further((e_ + 1) * first) + timer_.further((e_ + 1) * second);
}

// What the gradients of a product with a weight [rows, columns] hold beside their result. A GPU's
// library takes a workspace for each product. Where ATen multiplies (on a CPU, and on a GPU what
// does not divide by 8) no product is added to a float32 gradient: there is one in the compute
// type, and on a CPU its copy in float32 or, before that, what oneDNN packs of both operands for
// each thread (as LibTorch 2.11 was seen to ask for).
double LayerCost::weight_product(double rows, double columns) const {
  return weight_product(rows, columns, gradient_);
}

double LayerCost::weight_product(double rows, double columns, double gradient) const {
  if (e_ == 4 && !has_epilogues()) return threads_ * packed_in_float32(rows, columns);
  if (e_ != 2) return 0;
  const double copy = gradient == e_ ? 0 : e_ * rows * columns;
  if (has_epilogues()) return multiplies(rows, columns) ? workspace() : copy;
  const double depth = std::clamp(T_, 64.0, 512.0);
  const double packed = threads_ * (50304 + 2 * depth * (std::min(rows + 32, 288.0) + columns));
  return copy + std::max(2 * copy, packed);
}

// What a thread of oneDNN packs of a weight gradient's operands and sums where it makes them
// (nn/matrix_product.h); elsewhere a little too much, for a plan may be of another machine's CPU.
double LayerCost::packed_in_float32(double rows, double columns) const {
  if (T_ * rows * columns < (1 << 22)) return 0;
  const double block = std::min(rows, 256.0);
  return 4 * (block * (std::min(T_, 512.0) + 16 + std::min(columns, 1024.0)) +
              (columns < 512 ? 0 : 64 * 512) + 320);
}

// Whether that library does: products in half precision, of sizes that divide by 8.
bool LayerCost::multiplies(double rows, double columns) const {
  return has_epilogues() && e_ == 2 && std::fmod(T_, 8) == 0 && std::fmod(rows, 8) == 0 &&
         std::fmod(columns, 8) == 0;
}

// Elsewhere on a GPU ATen does, whose workspace, once taken, stays; and, where it adds a bias,
// 1 MiB beside it.
void LayerCost::multiplied(double rows, double columns, bool bias) {
  if (has_epilogues() && !multiplies(rows, columns)) keeps_workspace(e_ == 4 && bias);
}

void LayerCost::keeps_workspace(bool bias) {
  b_.lasting = std::max(b_.lasting, workspace() + (bias ? 1 << 20 : 0));
}

}  // namespace ocoee::plan
