// SPDX-License-Identifier: Apache-2.0
// The device's own speed, by the calls that layers make.
#include <ATen/Parallel.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "cli/calibrate.h"
#include "kernels/dropout.h"
#include "nn/fused_attention.h"
#include "nn/products.h"
#include "nn/tensors.h"

namespace ocoee::cli {
namespace {

class Stopwatch {
 public:
  explicit Stopwatch(const device::Device& device) : device_(device) {}

  // Median seconds of a call, over batches long enough for the clock; at most about a third of a
  // second in all.
  double seconds(const std::function<void()>& call) const {
    call();
    const double once = timed(call, 1);
    const int calls = static_cast<int>(std::clamp(0.02 / std::max(once, 1e-9), 1.0, 2000.0));
    const int batches = once > 0.1 ? 2 : 7;
    std::vector<double> all;
    for (int i = 0; i < batches; ++i) all.push_back(timed(call, calls));
    std::nth_element(all.begin(), all.begin() + batches / 2, all.end());
    return all[static_cast<size_t>(batches / 2)];
  }

 private:
  static double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  double timed(const std::function<void()>& call, int calls) const {
    const device::Stream stream = nn::current_stream(device_);
    device::synchronize(stream);
    const double begin = now();
    for (int i = 0; i < calls; ++i) call();
    device::synchronize(stream);
    return (now() - begin) / calls;
  }
  device::Device device_;
};

// Shapes of a transformer's linear layers: rows of tokens by widths.
std::vector<Sample> measure_products(const Stopwatch& watch, const at::TensorOptions& options,
                                     bool gpu) {
  std::vector<std::pair<int64_t, int64_t>> shapes;  // rows, width
  if (gpu)
    shapes = {{1024, 256},  {2048, 512},  {4096, 768},   {8192, 1024},
              {8192, 2048}, {8192, 4096}, {16384, 6144}, {16384, 8192}};
  else
    shapes = {{64, 32}, {256, 64}, {512, 128}, {1024, 256}, {2048, 512}, {2048, 1024}};
  std::vector<Sample> out;
  for (const auto& [rows, width] : shapes) {
    const at::Tensor x = at::randn({rows, width}, options), w = at::randn({width, width}, options);
    const double flops = 2.0 * static_cast<double>(rows * width * width);
    out.push_back({flops, watch.seconds([&] { nn::product(x, w); })});
  }
  return out;
}

std::vector<Sample> measure_attentions(const Stopwatch& watch, const at::TensorOptions& options,
                                       bool gpu) {
  std::vector<Sample> out;
  const int64_t length = gpu ? 1024 : 256, batch = gpu ? 16 : 4;
  for (const int64_t head : {32, 64, 128}) {
    const int64_t heads = (gpu ? 1024 : 128) / head;
    const at::Tensor qkv = at::randn({batch, length, 3 * heads, head}, options);
    const at::Tensor grad = at::empty_like(qkv);
    const auto part = [&](const at::Tensor& t, int64_t i) { return t.narrow(2, i * heads, heads); };
    const at::Tensor g = at::randn({batch, length, heads, head}, options);
    const double seconds = watch.seconds([&] {
      nn::AttentionSaved saved;
      nn::attention_forward(part(qkv, 0), part(qkv, 1), part(qkv, 2), true, &saved);
      nn::attention_backward(g, part(qkv, 0), part(qkv, 1), part(qkv, 2), true, saved,
                             part(grad, 0), part(grad, 1), part(grad, 2));
    });
    const double flops = 12.0 * static_cast<double>(batch * length * length * heads * head);
    out.push_back({static_cast<double>(head), seconds, flops});
  }
  return out;
}

double host_memory() {
  return static_cast<double>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<double>(::sysconf(_SC_PAGE_SIZE));
}

}  // namespace

DeviceFigures measure_device(const device::Device& device, int threads) {
  const at::NoGradGuard no_grad;
  if (threads > 0) at::set_num_threads(threads);
  const bool gpu = device.is_cuda();
  const Stopwatch watch(device);
  const auto options = at::TensorOptions().device(nn::torch_device(device));
  DeviceFigures figures;
  figures.memory =
      gpu ? static_cast<double>(device::properties(device).memory_bytes) : host_memory();
  for (const auto& [name, type] : {std::pair<const char*, at::ScalarType>{"float32", at::kFloat},
                                   {"bfloat16", at::kBFloat16},
                                   {"float16", at::kHalf},
                                   {"float64", at::kDouble}}) {
    if (!gpu && type == at::kHalf) continue;
    figures.products[name] = measure_products(watch, options.dtype(type), gpu);
    if (type == at::kBFloat16 || (!gpu && type == at::kFloat))
      figures.attentions[name] = measure_attentions(watch, options.dtype(type), gpu);
  }
  for (double bytes = 1e5; bytes < (gpu ? 2e9 : 3e8); bytes *= gpu ? 10 : 8) {
    const auto count = static_cast<int64_t>(bytes / 8);
    const at::Tensor from = at::zeros({count}, options.dtype(at::kFloat)),
                     to = at::empty_like(from);
    figures.streams.push_back({bytes, watch.seconds([&] { to.copy_(from); })});
  }
  const at::Tensor small = at::zeros({16}, options);
  figures.launch = watch.seconds([&] { small.add_(1); });
  const at::Tensor x = at::randn({64, gpu ? 1 << 20 : 1 << 14}, options), y = at::empty_like(x);
  const at::Tensor state = at::zeros({2}, options.dtype(at::kLong));
  kernels::Dropout dropout;
  dropout.rows = x.size(0), dropout.width = x.size(1);
  dropout.probability = 0.1, dropout.seed = 1;
  dropout.state = state.data_ptr<int64_t>();
  dropout.x = x.data_ptr(), dropout.y = y.data_ptr();
  figures.random = static_cast<double>(x.numel()) /
                   watch.seconds([&] { kernels::dropout(dropout, nn::current_stream(device)); });
  return figures;
}

}  // namespace ocoee::cli
