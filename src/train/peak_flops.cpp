// SPDX-License-Identifier: Apache-2.0
#include "train/peak_flops.h"

#include <chrono>

#include "parallel/precision.h"

namespace ocoee::train {
namespace {

struct Row {
  const char* name;  // part of the device's name
  double half, single;
};
// Dense matrix rates in TFLOP/s by the vendors' datasheets; float32 through the tensor cores' tf32 is off here.
constexpr Row kGpus[] = {{"H200", 989.5, 66.9}, {"H100", 989.5, 66.9}, {"A100", 312, 19.5}};

double measured(const std::string& compute) {
  const at::NoGradGuard no_grad;
  const int64_t n = 768;
  const auto type = parallel::precision_from_name(compute).compute;
  const at::Tensor a = at::ones({n, n}, type), b = at::ones({n, n}, type);
  at::Tensor c = at::matmul(a, b);
  double best = 0;
  for (int trial = 0; trial < 5; ++trial) {
    const auto begin = std::chrono::steady_clock::now();
    at::matmul_out(c, a, b);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    best = std::max(best, 2.0 * static_cast<double>(n * n * n) / seconds);
  }
  return best;
}

}  // namespace

double peak_flops(const device::Device& device, const std::string& compute) {
  if (!device.is_cuda()) return compute == "float16" ? 0 : measured(compute);
  const std::string name = device::properties(device).name;
  for (const Row& row : kGpus) {
    if (name.find(row.name) == std::string::npos) continue;
    if (compute == "float64") return 0;
    return (compute == "float32" ? row.single : row.half) * 1e12;
  }
  return 0;
}

std::string peak_source(const device::Device& device, const std::string& compute) {
  if (!device.is_cuda()) return "a 768^3 product measured on this rank's threads";
  return "datasheet of " + device::properties(device).name + ", dense " + compute;
}

}  // namespace ocoee::train
