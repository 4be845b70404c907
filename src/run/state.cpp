// SPDX-License-Identifier: Apache-2.0
#include "run/state.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace ocoee::run {

int64_t Box::elements() const {
  int64_t n = 1;
  for (const int64_t extent : size) n *= extent;
  return n;
}

Box intersect(const Box& a, const Box& b) {
  OCOEE_CHECK(a.size.size() == b.size.size(), "boxes of {} and {} dimensions", a.size.size(), b.size.size());
  Box out;
  for (size_t d = 0; d < a.size.size(); ++d) {
    const int64_t begin = std::max(a.offset[d], b.offset[d]);
    const int64_t end = std::min(a.offset[d] + a.size[d], b.offset[d] + b.size[d]);
    out.offset.push_back(begin);
    out.size.push_back(std::max<int64_t>(0, end - begin));
  }
  return out;
}

Piece host_piece(Box box, void* data, DType dtype) {
  const size_t bytes = static_cast<size_t>(box.elements()) * size_of(dtype);
  Piece piece;
  piece.box = std::move(box);
  piece.save = [data, bytes](void* host) { std::memcpy(host, data, bytes); };
  piece.load = [data, bytes](const void* host) { std::memcpy(data, host, bytes); };
  return piece;
}

namespace {

// Elements before `inner`'s first element within the row-major block `outer`, at the given index inside `inner`.
int64_t element_offset(const Box& outer, const Box& inner, const std::vector<int64_t>& index) {
  int64_t offset = 0;
  for (size_t d = 0; d < outer.size.size(); ++d) offset = offset * outer.size[d] + (inner.offset[d] - outer.offset[d] + index[d]);
  return offset;
}

}  // namespace

void copy_overlap(const Box& from, const void* from_data, const Box& to, void* to_data, size_t element_bytes) {
  const Box common = intersect(from, to);
  if (common.elements() == 0) return;
  const size_t dims = common.size.size();
  const auto* source = static_cast<const char*>(from_data);
  auto* target = static_cast<char*>(to_data);
  const size_t run = (dims == 0 ? 1 : static_cast<size_t>(common.size[dims - 1])) * element_bytes;
  std::vector<int64_t> index(dims, 0);
  for (;;) {
    std::memcpy(target + static_cast<size_t>(element_offset(to, common, index)) * element_bytes,
                source + static_cast<size_t>(element_offset(from, common, index)) * element_bytes, run);
    size_t d = dims;
    while (d-- > 0) {  // counts over all dimensions but the last, which each copy covers
      if (d + 1 == dims) continue;
      if (++index[d] < common.size[d]) break;
      index[d] = 0;
    }
    if (d == static_cast<size_t>(-1)) return;
  }
}

}  // namespace ocoee::run
