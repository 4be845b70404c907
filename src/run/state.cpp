// SPDX-License-Identifier: Apache-2.0
#include "run/state.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "run/box_runs.h"

namespace ocoee::run {

int64_t Box::elements() const {
  int64_t n = 1;
  for (const int64_t extent : size) {
    if (extent == 0) return 0;  // first, so that the others cannot overflow
  }
  for (const int64_t extent : size) n *= extent;
  return n;
}

Box intersect(const Box& a, const Box& b) {
  OCOEE_CHECK(a.size.size() == b.size.size(), "boxes of {} and {} dimensions", a.size.size(),
              b.size.size());
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

void copy_overlap(const Box& from, const void* from_data, const Box& to, void* to_data,
                  size_t element_bytes) {
  for_each_run(from, to, [&](int64_t source, int64_t target, int64_t elements) {
    std::memcpy(static_cast<char*>(to_data) + static_cast<size_t>(target) * element_bytes,
                static_cast<const char*>(from_data) + static_cast<size_t>(source) * element_bytes,
                static_cast<size_t>(elements) * element_bytes);
  });
}

}  // namespace ocoee::run
