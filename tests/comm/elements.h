// SPDX-License-Identifier: Apache-2.0
// Arrays of any DType, written and read as doubles, for comparing collectives with a serial
// reference.
#pragma once

#include <bit>
#include <cstring>
#include <vector>

#include "device/device.h"

namespace ocoee::comm {

inline const std::vector<DType> kAllTypes{
    DType::u8,  DType::i8,  DType::i16,  DType::u16, DType::i32, DType::u32,    DType::i64,
    DType::u64, DType::f16, DType::bf16, DType::f32, DType::f64, DType::boolean};

class Elements {
 public:
  Elements(DType dtype, int64_t count)
      : dtype_(dtype), count_(count), bytes_(static_cast<size_t>(count) * size_of(dtype), '\xA5') {}

  device::Buffer buffer() { return {bytes_.data(), count_, dtype_, {}}; }
  int64_t count() const { return count_; }

  void set(int64_t i, double value) {
    switch (dtype_) {
      case DType::u8:
      case DType::boolean:
        return put<uint8_t>(i, value);
      case DType::i8:
        return put<int8_t>(i, value);
      case DType::i16:
        return put<int16_t>(i, value);
      case DType::u16:
        return put<uint16_t>(i, value);
      case DType::i32:
        return put<int32_t>(i, value);
      case DType::u32:
        return put<uint32_t>(i, value);
      case DType::i64:
        return put<int64_t>(i, value);
      case DType::u64:
        return put<uint64_t>(i, value);
      case DType::f16:
        return put<_Float16>(i, value);
      case DType::f32:
        return put<float>(i, value);
      case DType::f64:
        return put<double>(i, value);
      case DType::bf16: {  // of values that bf16 holds exactly
        const auto word = std::bit_cast<uint32_t>(static_cast<float>(value));
        return put<uint16_t>(i, static_cast<double>(word >> 16));
      }
    }
  }

  double get(int64_t i) const {
    switch (dtype_) {
      case DType::u8:
      case DType::boolean:
        return at<uint8_t>(i);
      case DType::i8:
        return at<int8_t>(i);
      case DType::i16:
        return at<int16_t>(i);
      case DType::u16:
        return at<uint16_t>(i);
      case DType::i32:
        return at<int32_t>(i);
      case DType::u32:
        return at<uint32_t>(i);
      case DType::i64:
        return at<int64_t>(i);
      case DType::u64:
        return at<uint64_t>(i);
      case DType::f16:
        return at<_Float16>(i);
      case DType::f32:
        return at<float>(i);
      case DType::f64:
        return at<double>(i);
      case DType::bf16:
        return std::bit_cast<float>(static_cast<uint32_t>(at<uint16_t>(i)) << 16);
    }
    return 0;
  }

 private:
  template <class T>
  void put(int64_t i, double value) {
    const auto element = static_cast<T>(value);
    std::memcpy(bytes_.data() + static_cast<size_t>(i) * sizeof(T), &element, sizeof(T));
  }
  template <class T>
  T at(int64_t i) const {
    T element;
    std::memcpy(&element, bytes_.data() + static_cast<size_t>(i) * sizeof(T), sizeof(T));
    return element;
  }

  DType dtype_;
  int64_t count_;
  std::vector<char> bytes_;
};

}  // namespace ocoee::comm
