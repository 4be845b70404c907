// SPDX-License-Identifier: Apache-2.0
// The vocabulary is split over the tensor axis: no rank holds a whole row of logits for its tokens,
// neither forward nor backward.
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "nn/registry.h"
#include "parallel/mpi/layout_case.h"

namespace ocoee::parallel {
namespace {

int64_t largest = 0;  // elements of a tensor that an operation returned

void see(const at::RecordFunction& call, at::ObserverContext* /*context*/) {
  for (const c10::IValue& value : call.outputs())
    if (value.isTensor() && value.toTensor().defined())
      largest = std::max(largest, value.toTensor().numel());
}

TEST(Vocabulary, NoRankHoldsAllLogits) {
  constexpr int64_t kWidth = 16, kWords = 512, kRows = 2 * kTokens;
  comm::World& world = testing_support::world();
  LayoutCase c;
  c.tensor = world.size(), c.width = kWidth;
  comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
  const plan::ModelSpec model = plan::tensor_part(models::build_gpt(case_model(c), kWords),
                                                  c.tensor, mesh.coordinate(comm::Axis::tensor));
  const plan::LayerSpec& spec = model.blocks.back().layers.back();
  ASSERT_EQ(spec.kind, "head");
  const auto head = nn::make_layer(spec);
  const int64_t elements = spec.parameters.at(0).elements();
  head->bind({at::randn({elements}, at::kDouble), at::zeros({elements}, at::kDouble)});
  const nn::Bundle batch = case_batch(0, 0, kRows / kTokens);
  nn::Context context;
  context.mesh = &mesh;
  context.batch = &batch;
  nn::Bundle in, out, grad_out, grad_in;
  // Rows are split over the axis; on one rank they are whole samples.
  in["h"] = c.tensor > 1 ? at::randn({kRows / c.tensor, kWidth}, at::kDouble)
                         : at::randn({kRows / kTokens, kTokens, kWidth}, at::kDouble);
  nn::Saved saved;
  const auto callback = at::addGlobalCallback(at::RecordFunctionCallback(nullptr, see)
                                                  .needsOutputs(true)
                                                  .scopes({at::RecordScope::FUNCTION}));
  largest = 0;
  head->forward(in, out, saved, context);
  const int64_t forward = largest;
  for (const auto& [name, tensor] : out.items()) grad_out[name] = at::ones_like(tensor);
  nn::WeightWork work;
  head->backward(grad_out, grad_in, saved, work, context);
  at::removeCallback(callback);
  EXPECT_EQ(forward, kRows * kWords / c.tensor);  // on one rank: all of them are seen
  EXPECT_LE(largest, kRows * kWords / c.tensor);
}

}  // namespace
}  // namespace ocoee::parallel
