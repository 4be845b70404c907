// SPDX-License-Identifier: Apache-2.0
// Flat copies between element types, and sums into wider gradients.
#pragma once

#include "device/device.h"

namespace ocoee::kernels {

// to[i] = from[i], rounded to nearest even. Any pair of f32, f64, bf16, f16; equal counts.
void cast(const device::Buffer& from, const device::Buffer& to, const device::Stream& stream);

// sum[i] += factor * x[i]. sum is f32 or f64; x is any floating type no wider than it.
void accumulate(const device::Buffer& x, double factor, const device::Buffer& sum,
                const device::Stream& stream);

namespace cpu {
void cast(const device::Buffer& from, const device::Buffer& to);
void accumulate(const device::Buffer& x, double factor, const device::Buffer& sum);
}  // namespace cpu
namespace cuda {
void cast(const device::Buffer& from, const device::Buffer& to, const device::Stream& stream);
void accumulate(const device::Buffer& x, double factor, const device::Buffer& sum,
                const device::Stream& stream);
}  // namespace cuda

}  // namespace ocoee::kernels
