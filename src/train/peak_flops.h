// SPDX-License-Identifier: Apache-2.0
// The peak that model FLOPs utilisation is stated against.
#pragma once

#include <string>

#include "device/device.h"

namespace ocoee::train {

// FLOP/s of one rank. GPUs: the datasheet's dense matrix rate for the type. 0 = unknown: CPUs have
// no honest datasheet, and one measured beside a training run would depend on who else uses the
// machine. Then no MFU is stated.
double peak_flops(const device::Device& device, const std::string& compute);

// "989.5 TFLOP/s, datasheet of NVIDIA H200 (dense bfloat16)"
std::string peak_source(const device::Device& device, const std::string& compute);

}  // namespace ocoee::train
