// SPDX-License-Identifier: Apache-2.0
#include "nn/dropout.h"

#include <ATen/Parallel.h>

#include "core/error.h"
#include "core/random.h"
#include "core/text.h"

namespace ocoee::nn {
namespace {

// Four elements share a Philox block. Element ids count through the whole step: sample first_sample + b, then within it.
at::Tensor keep_mask(const at::Tensor& x, uint64_t layer_seed, const Context& context, double rate) {
  OCOEE_CHECK(context.random_state.defined(), "dropout needs the step's random state");
  OCOEE_CHECK(!x.is_cuda(), "the host mask is for host tensors");
  const int64_t step = context.random_state.data_ptr<int64_t>()[0];
  const PhiloxKey key = random_key(layer_seed, Purpose::dropout, static_cast<uint64_t>(step));
  const int64_t per_sample = x.numel() / x.size(0);
  const int64_t first = context.first_sample * per_sample;
  const auto threshold = static_cast<uint32_t>(std::min(rate * 4294967296.0, 4294967295.0));
  const double scale = 1 / (1 - rate);
  at::Tensor mask = at::empty(x.sizes(), x.options().dtype(at::kFloat));
  float* out = mask.data_ptr<float>();
  at::parallel_for(0, x.numel(), 1 << 14, [&](int64_t begin, int64_t end) {
    PhiloxCounter bits{};
    int64_t block = -1;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t id = first + i;
      if (id / 4 != block) {
        block = id / 4;
        bits = random_bits(key, static_cast<uint64_t>(block), 0);
      }
      out[i] = bits.v[id % 4] < threshold ? 0.0f : static_cast<float>(scale);
    }
  });
  return x.scalar_type() == at::kFloat ? mask : mask.to(x.scalar_type());
}

}  // namespace

double dropout_rate(const Layer& layer, const std::string& option) {
  const auto found = layer.spec().options.find(option);
  return found == layer.spec().options.end() ? 0 : found->second;
}

at::Tensor dropout(const at::Tensor& x, const Layer& layer, int site, const Context& context, const std::string& option) {
  const double rate = dropout_rate(layer, option);
  if (rate == 0 || !context.training) return x;
  const uint64_t layer_seed = context.seed ^ hash64(layer.spec().name + "#" + std::to_string(site));
  at::Tensor mask;
  {
    const at::NoGradGuard no_grad;
    mask = keep_mask(x, layer_seed, context, rate);
  }
  return x * mask;
}

}  // namespace ocoee::nn
