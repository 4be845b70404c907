// SPDX-License-Identifier: Apache-2.0
// Bytes that tensors hold, and the most they ever held: on a GPU the caching allocator's own count;
// on the CPU ours, which costs two atomic additions an allocation.
#pragma once

#include <cstdint>

#include "device/device.h"

namespace ocoee::parallel {

// CPU: tensors made from now on are counted. For the rest of the program; a second call does
// nothing.
void count_tensor_memory();

struct TensorMemory {
  int64_t now = 0, peak = 0;  // bytes; zero on a CPU that does not count
};
TensorMemory tensor_memory(const device::Device& device);
void reset_tensor_peak(const device::Device& device);  // the peak is what is held now

int64_t resident_bytes();  // of this process, as the system sees it; 0 where it does not tell
int64_t peak_resident_bytes();

// The GPU's half, in a file of its own.
TensorMemory cuda_tensor_memory(const device::Device& device);
void reset_cuda_tensor_peak(const device::Device& device);

}  // namespace ocoee::parallel
