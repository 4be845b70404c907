// SPDX-License-Identifier: Apache-2.0
// What the parts of bench_alloys_gpu share.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "device/device.h"

namespace ocoee::bench {

// Milliseconds of device time from the first to the last launch of `work`.
double device_milliseconds(const device::Stream& stream, const std::function<void()>& work);

template <class T>
class OnDevice {
 public:
  OnDevice(const device::Stream& stream, int64_t count)
      : stream_(stream),
        count_(count),
        memory_(static_cast<size_t>(count) * sizeof(T), device::Memory::Where::device,
                stream.device) {
    device::set_zero({memory_.data(), static_cast<int64_t>(bytes()), DType::u8, stream.device},
                     stream);
  }
  OnDevice(const device::Stream& stream, const std::vector<T>& values)
      : OnDevice(stream, static_cast<int64_t>(values.size())) {
    device::copy(memory_.data(), stream_.device, values.data(), {}, bytes(), stream_);
    device::synchronize(stream_);
  }
  T* data() const { return static_cast<T*>(memory_.data()); }
  size_t bytes() const { return static_cast<size_t>(count_) * sizeof(T); }
  std::vector<T> read() const {
    std::vector<T> values(static_cast<size_t>(count_));
    device::copy(values.data(), {}, memory_.data(), stream_.device, bytes(), stream_);
    device::synchronize(stream_);
    return values;
  }

 private:
  device::Stream stream_;
  int64_t count_;
  device::Memory memory_;
};

void swap_speed(const device::Stream& stream, int64_t cells, int shells, int threads, int trials,
                double temperature, int steps);
void capacity(const device::Stream& stream, int64_t cells, double sweeps);
void ising_speed(const device::Stream& stream, int64_t size, double temperature, int sweeps);
void exact_samples(const device::Stream& stream, double samples);

}  // namespace ocoee::bench
