// SPDX-License-Identifier: Apache-2.0
#include "train/peak_flops.h"

namespace ocoee::train {
namespace {

struct Row {
  const char* name;  // part of the device's name
  double half, single;
};
// Dense matrix rates in TFLOP/s by the vendors' datasheets; float32 through the tensor cores' tf32
// is off here.
constexpr Row kGpus[] = {{"H200", 989.5, 66.9}, {"H100", 989.5, 66.9}, {"A100", 312, 19.5}};

}  // namespace

double peak_flops(const device::Device& device, const std::string& compute) {
  if (!device.is_cuda()) return 0;
  const std::string name = device::properties(device).name;
  for (const Row& row : kGpus) {
    if (name.find(row.name) == std::string::npos) continue;
    if (compute == "float64") return 0;
    return (compute == "float32" ? row.single : row.half) * 1e12;
  }
  return 0;
}

std::string peak_source(const device::Device& device, const std::string& compute) {
  if (!device.is_cuda()) return "none stated for CPUs";
  return "datasheet of " + device::properties(device).name + ", dense " + compute;
}

}  // namespace ocoee::train
