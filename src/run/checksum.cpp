// SPDX-License-Identifier: Apache-2.0
#include "run/checksum.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/file.h"

namespace ocoee::run {
namespace {

constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87ull;
constexpr uint64_t kPrime2 = 0xC2B2AE3D27D4EB4Full;
constexpr uint64_t kPrime3 = 0x165667B19E3779F9ull;
constexpr uint64_t kPrime4 = 0x85EBCA77C2B2AE63ull;
constexpr uint64_t kPrime5 = 0x27D4EB2F165667C5ull;

template <class T>
T load(const unsigned char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

uint64_t mix_word(uint64_t lane, uint64_t word) {
  return std::rotl(lane + word * kPrime2, 31) * kPrime1;
}

}  // namespace

void Checksum::stripe(const unsigned char* from) {
  for (int lane = 0; lane < 4; ++lane)
    lanes_[lane] = mix_word(lanes_[lane], load<uint64_t>(from + 8 * lane));
}

void Checksum::add(const void* data, size_t bytes) {
  if (bytes == 0) return;
  total_ += bytes;
  const auto* at = static_cast<const unsigned char*>(data);
  if (tail_bytes_ > 0) {
    const size_t take = std::min(bytes, sizeof tail_ - tail_bytes_);
    std::memcpy(tail_ + tail_bytes_, at, take);
    tail_bytes_ += take;
    at += take;
    bytes -= take;
    if (tail_bytes_ < sizeof tail_) return;
    stripe(tail_);
    tail_bytes_ = 0;
  }
  for (; bytes >= sizeof tail_; at += sizeof tail_, bytes -= sizeof tail_) stripe(at);
  std::memcpy(tail_, at, bytes);
  tail_bytes_ = bytes;
}

uint64_t Checksum::value() const {
  uint64_t hash = kPrime5;
  if (total_ >= sizeof tail_) {
    hash = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) +
           std::rotl(lanes_[3], 18);
    for (const uint64_t lane : lanes_) hash = (hash ^ mix_word(0, lane)) * kPrime1 + kPrime4;
  }
  hash += total_;
  const unsigned char* at = tail_;
  size_t left = tail_bytes_;
  for (; left >= 8; at += 8, left -= 8)
    hash = std::rotl(hash ^ mix_word(0, load<uint64_t>(at)), 27) * kPrime1 + kPrime4;
  for (; left >= 4; at += 4, left -= 4)
    hash = std::rotl(hash ^ load<uint32_t>(at) * kPrime1, 23) * kPrime2 + kPrime3;
  for (; left > 0; ++at, --left) hash = std::rotl(hash ^ *at * kPrime5, 11) * kPrime1;
  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

uint64_t checksum_of_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  Checksum checksum;
  checksum.add(file.data(), file.size());
  return checksum.value();
}

}  // namespace ocoee::run
