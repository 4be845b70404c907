// SPDX-License-Identifier: Apache-2.0
// One harness for kernels on any device. A test makes Arrays on the test device, runs the kernel,
// and compares what it reads back with a reference in double precision. Sentinels on both sides of
// every Array catch overruns, and outputs begin as NaN, so that an element that was never written
// shows.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "core/random.h"
#include "device/device.h"
#include "kernels/number.h"
#include "kernels/parallel_for.h"

namespace ocoee::kernels::test {

// The CPU; test_kernels_cuda sets it to a GPU.
inline device::Device& test_device() {
  static device::Device device;
  return device;
}
inline device::Stream test_stream() {
  return {nullptr, test_device()};
}
inline bool on_gpu() {
  return test_device().is_cuda();
}

class Array {
  static constexpr size_t kGuard = 256;
  static constexpr unsigned char kSentinel = 0xA5;

 public:
  // `shift` moves the first element off its 16-byte boundary by so many elements.
  Array(DType dtype, const std::vector<double>& values, int64_t shift = 0)
      : dtype_(dtype), count_(static_cast<int64_t>(values.size())), shift_(shift) {
    std::vector<unsigned char> bytes(allocated(), kSentinel);
    for (int64_t i = 0; i < count_; ++i)
      put(bytes.data() + offset() + static_cast<size_t>(i) * size_of(dtype),
          values[static_cast<size_t>(i)]);
    memory_ = device::Memory(bytes.size(), device::Memory::Where::device, test_device());
    device::copy(memory_.data(), test_device(), bytes.data(), {}, bytes.size(), test_stream());
    device::synchronize(test_stream());
  }
  Array(DType dtype, int64_t count, int64_t shift = 0)
      : Array(dtype,
              std::vector<double>(static_cast<size_t>(count),
                                  dtype == DType::i64 ? -1 : std::nan("")),
              shift) {}
  Array(Array&&) noexcept = default;
  ~Array() {
    if (memory_.data()) bytes();
  }

  void* data() const { return static_cast<char*>(memory_.data()) + offset(); }
  template <class T>
  T* as() const {
    return static_cast<T*>(data());
  }
  device::Buffer buffer() const { return {data(), count_, dtype_, test_device()}; }
  int64_t count() const { return count_; }

  // What lies there now, exactly; checks the sentinels.
  std::vector<double> read() const {
    const std::vector<unsigned char> all = bytes();
    std::vector<double> values(static_cast<size_t>(count_));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = get(all.data() + offset() + i * size_of(dtype_));
    return values;
  }
  std::vector<unsigned char> bits() const {
    const std::vector<unsigned char> all = bytes();
    return {all.begin() + static_cast<int64_t>(offset()), all.end() - static_cast<int64_t>(kGuard)};
  }

 private:
  size_t offset() const { return kGuard + static_cast<size_t>(shift_) * size_of(dtype_); }
  size_t allocated() const {
    return offset() + static_cast<size_t>(count_) * size_of(dtype_) + kGuard;
  }

  std::vector<unsigned char> bytes() const {
    std::vector<unsigned char> all(allocated());
    device::copy(all.data(), {}, memory_.data(), test_device(), all.size(), test_stream());
    device::synchronize(test_stream());
    for (size_t i = 0; i < offset(); ++i)
      if (all[i] != kSentinel)
        ADD_FAILURE() << "overrun " << offset() - i << " bytes before an array", i = offset();
    for (size_t i = all.size() - kGuard; i < all.size(); ++i)
      if (all[i] != kSentinel)
        ADD_FAILURE() << "overrun after an array of " << count_ << " elements", i = all.size();
    return all;
  }
  void put(unsigned char* to, double value) const {
    const auto write = [&](auto v) { std::memcpy(to, &v, sizeof v); };
    switch (dtype_) {
      case DType::f64:
        return write(value);
      case DType::f32:
        return write(static_cast<float>(value));
      case DType::bf16:
        return write(bfloat16_from(static_cast<float>(value)));
      case DType::f16:
        return write(float16_from(static_cast<float>(value)));
      case DType::i64:
        return write(static_cast<int64_t>(value));
      case DType::i16:
        return write(static_cast<int16_t>(value));
      case DType::u8:
        return write(static_cast<uint8_t>(value));
      default:
        FAIL() << "element type";
    }
  }
  double get(const unsigned char* from) const {
    const auto take = [&](auto v) {
      std::memcpy(&v, from, sizeof v);
      return v;
    };
    switch (dtype_) {
      case DType::f64:
        return take(0.0);
      case DType::f32:
        return static_cast<double>(take(0.0f));
      case DType::bf16:
        return static_cast<double>(widen(take(BFloat16{})));
      case DType::f16:
        return static_cast<double>(widen(take(Float16{})));
      case DType::i64:
        return static_cast<double>(take(int64_t{0}));
      case DType::i16:
        return static_cast<double>(take(int16_t{0}));
      case DType::u8:
        return static_cast<double>(take(uint8_t{0}));
      default:
        return std::nan("");
    }
  }

  DType dtype_;
  int64_t count_, shift_;
  device::Memory memory_;
};

// Scratch for a kernel, with sentinels.
inline Array workspace(size_t bytes) {
  return Array(DType::u8, std::vector<double>(bytes, 255));
}

inline std::vector<double> normal_values(int64_t count, uint64_t seed, double scale = 1) {
  std::vector<double> values(static_cast<size_t>(count));
  RandomStream random(seed, Purpose::noise, 0, 0);
  for (double& value : values) value = scale * random.normal();
  return values;
}
// As an array of this dtype holds them.
inline std::vector<double> rounded(DType dtype, std::vector<double> values) {
  for (double& v : values) {
    if (dtype == DType::f32) v = static_cast<double>(static_cast<float>(v));
    if (dtype == DType::bf16) v = static_cast<double>(widen(bfloat16_from(static_cast<float>(v))));
    if (dtype == DType::f16) v = static_cast<double>(widen(float16_from(static_cast<float>(v))));
  }
  return values;
}

// Largest difference over the largest wanted value; infinity if a NaN stands where none is wanted.
inline double error_of(const std::vector<double>& got, const std::vector<double>& want) {
  if (got.size() != want.size()) return std::numeric_limits<double>::infinity();
  double difference = 0, largest = 1e-30;
  for (size_t i = 0; i < got.size(); ++i) {
    if (!(std::abs(got[i] - want[i]) <= 1e300)) return std::numeric_limits<double>::infinity();
    difference = std::max(difference, std::abs(got[i] - want[i]));
    largest = std::max(largest, std::abs(want[i]));
  }
  return difference / largest;
}
// One rounding of the output, and arithmetic in float32 (float64).
inline double tolerance(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return 1e-12;
    case DType::f32:
      return 3e-6;
    case DType::f16:
      return 6e-4;
    default:
      return 5e-3;
  }
}
#define EXPECT_NEAR_ARRAY(got, want, limit) \
  EXPECT_LE(::ocoee::kernels::test::error_of(got, want), limit)

// gradient[i] against central differences of `loss`, for up to 48 elements spread over x.
inline void check_gradient(const std::function<double(const std::vector<double>&)>& loss,
                           std::vector<double> x, const std::vector<double>& gradient,
                           double limit = 1e-7) {
  ASSERT_EQ(x.size(), gradient.size());
  double largest = 1e-12;
  for (const double g : gradient) largest = std::max(largest, std::abs(g));
  const size_t stride = std::max<size_t>(1, x.size() / 48);
  for (size_t i = 0; i < x.size(); i += stride) {
    const double h = 1e-5 * std::max(1.0, std::abs(x[i])), at = x[i];
    x[i] = at + h;
    const double above = loss(x);
    x[i] = at - h;
    const double below = loss(x);
    x[i] = at;
    EXPECT_NEAR((above - below) / (2 * h) / largest, gradient[i] / largest, limit)
        << "element " << i;
  }
}
inline double weighted_sum(const std::vector<double>& values, const std::vector<double>& weights) {
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) sum += values[i] * weights[i];
  return sum;
}

// Runs `work` with 1, 2, 3 and 7 threads (on a GPU: four times) and expects the same bits.
inline void expect_same_bits(const std::function<std::vector<unsigned char>()>& work) {
  const int before = thread_count();
  std::vector<unsigned char> first;
  for (const int threads : {1, 2, 3, 7}) {
    if (!on_gpu()) set_thread_count(threads);
    const std::vector<unsigned char> bits = work();
    if (first.empty()) first = bits;
    EXPECT_EQ(first, bits) << threads << " threads";
  }
  set_thread_count(before);
}

const std::vector<DType> kFloatTypes = {DType::f32, DType::bf16, DType::f16, DType::f64};
inline std::string label(DType dtype) {
  return std::string(name_of(dtype));
}

}  // namespace ocoee::kernels::test
