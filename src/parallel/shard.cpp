// SPDX-License-Identifier: Apache-2.0
#include "parallel/shard.h"

#include "core/error.h"

namespace ocoee::parallel {
namespace {

struct Splitter {
  const std::vector<int64_t>& shape;
  std::vector<run::Box>& out;
  std::vector<int64_t> prefix;  // indices in the dimensions before the present one

  int64_t inner(size_t dim) const {
    int64_t product = 1;
    for (size_t d = dim + 1; d < shape.size(); ++d) product *= shape[d];
    return product;
  }

  void rows(size_t dim, int64_t first, int64_t last) {
    run::Box box;
    box.offset = prefix;
    box.size.assign(prefix.size(), 1);
    box.offset.push_back(first);
    box.size.push_back(last - first);
    for (size_t d = dim + 1; d < shape.size(); ++d) {
      box.offset.push_back(0);
      box.size.push_back(shape[d]);
    }
    out.push_back(std::move(box));
  }

  void within_row(size_t dim, int64_t row, int64_t begin, int64_t end) {
    prefix.push_back(row);
    split(dim + 1, begin, end);
    prefix.pop_back();
  }

  void split(size_t dim, int64_t begin, int64_t end) {
    if (begin >= end) return;
    const int64_t row = inner(dim);
    if (row == 1) return rows(dim, begin, end);
    const int64_t first = begin / row, last = end / row;
    if (first == last) return within_row(dim, first, begin - first * row, end - first * row);
    int64_t whole = first;
    if (begin % row != 0) {
      within_row(dim, first, begin - first * row, row);
      ++whole;
    }
    if (whole < last) rows(dim, whole, last);
    if (end % row != 0) within_row(dim, last, 0, end - last * row);
  }
};

}  // namespace

Shard shard_from_name(const std::string& name) {
  if (name == "none") return Shard::none;
  if (name == "states") return Shard::states;
  if (name == "gradients") return Shard::gradients;
  if (name == "parameters") return Shard::parameters;
  fail(ErrorKind::internal, "unknown shard level '{}'", name);
}

std::vector<run::Box> boxes_of_range(const std::vector<int64_t>& shape, int64_t begin,
                                     int64_t end) {
  std::vector<run::Box> out;
  if (shape.empty()) {
    if (begin < end) out.emplace_back();
    return out;
  }
  Splitter{shape, out, {}}.split(0, begin, end);
  return out;
}

}  // namespace ocoee::parallel
