// SPDX-License-Identifier: Apache-2.0
#include "data/content_hash.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "data/bytes.h"

namespace ocoee::data {
namespace {

constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87ull;
constexpr uint64_t kPrime2 = 0xC2B2AE3D27D4EB4Full;
constexpr uint64_t kPrime3 = 0x165667B19E3779F9ull;
constexpr uint64_t kPrime4 = 0x85EBCA77C2B2AE63ull;
constexpr uint64_t kPrime5 = 0x27D4EB2F165667C5ull;
static_assert(std::endian::native == std::endian::little);

template <class Word>
Word load(const char* at) {
  Word word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

uint64_t round_of(uint64_t lane, uint64_t word) {
  return std::rotl(lane + word * kPrime2, 31) * kPrime1;
}

void add_stripe(std::array<uint64_t, 4>& lanes, const char* at) {
  for (size_t i = 0; i < 4; ++i) lanes[i] = round_of(lanes[i], load<uint64_t>(at + 8 * i));
}

}  // namespace

void ContentHash::add(std::string_view bytes) {
  total_ += bytes.size();
  if (pending_size_ > 0) {
    const size_t take = std::min(bytes.size(), pending_.size() - pending_size_);
    std::copy_n(bytes.data(), take, pending_.data() + pending_size_);
    pending_size_ += take;
    bytes.remove_prefix(take);
    if (pending_size_ < pending_.size()) return;
    add_stripe(lanes_, pending_.data());
    pending_size_ = 0;
  }
  for (; bytes.size() >= pending_.size(); bytes.remove_prefix(pending_.size())) {
    add_stripe(lanes_, bytes.data());
  }
  std::copy_n(bytes.data(), bytes.size(), pending_.data());
  pending_size_ = bytes.size();
}

uint64_t ContentHash::value() const {
  uint64_t hash = kPrime5;
  if (total_ >= pending_.size()) {
    hash = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) +
           std::rotl(lanes_[3], 18);
    for (const uint64_t lane : lanes_) hash = (hash ^ round_of(0, lane)) * kPrime1 + kPrime4;
  }
  hash += total_;
  const char* at = pending_.data();
  const char* end = at + pending_size_;
  for (; end - at >= 8; at += 8) {
    hash = std::rotl(hash ^ round_of(0, load<uint64_t>(at)), 27) * kPrime1 + kPrime4;
  }
  if (end - at >= 4) {
    hash = std::rotl(hash ^ (uint64_t{load<uint32_t>(at)} * kPrime1), 23) * kPrime2 + kPrime3;
    at += 4;
  }
  for (; at < end; ++at) {
    hash = std::rotl(hash ^ (static_cast<unsigned char>(*at) * kPrime5), 11) * kPrime1;
  }
  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

uint64_t content_hash(std::string_view bytes) {
  ContentHash hash;
  hash.add(bytes);
  return hash.value();
}

uint64_t content_hash_of_file(const std::filesystem::path& path, void (*between)()) {
  const auto reader = open_raw_bytes(path);
  std::vector<char> chunk(size_t{1} << 18);
  ContentHash hash;
  while (const size_t got = reader->read(chunk.data(), chunk.size())) {
    hash.add({chunk.data(), got});
    if (between) between();
  }
  return hash.value();
}

}  // namespace ocoee::data
