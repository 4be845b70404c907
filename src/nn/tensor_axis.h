// SPDX-License-Identifier: Apache-2.0
// The two exchanges of tensor parallelism whose residual stream is split by rows (Korthikanti et
// al. 2022, their sequence parallelism), and where a rank's part of an activation stands in the
// whole one. With one rank on the axis nothing moves and nothing is copied.
#pragma once

#include "nn/layer.h"

namespace ocoee::nn {

// An exchange under way. Other work may be queued before wait(), which gives the result.
class Exchange {
 public:
  Exchange() = default;
  explicit Exchange(at::Tensor result) : result_(std::move(result)) {}
  Exchange(at::Tensor source, at::Tensor result, comm::WorkHandle work)
      : source_(std::move(source)), result_(std::move(result)), work_(std::move(work)) {}
  at::Tensor wait();
  // Of a sum that began with the others' rows: this rank's own are queued.
  void own_rows_queued();
  // Before wait(): what this rank put in; undefined where nothing moves.
  const at::Tensor& source() const { return source_; }
  // Of the result, whose values come with wait(); with another last extent.
  std::vector<int64_t> sizes(int64_t last) const;
  at::TensorOptions options() const { return result_.options(); }

 private:
  at::Tensor source_, result_;
  comm::WorkHandle work_;
};

int64_t tensor_ranks(const Context& context);
int64_t tensor_rank(const Context& context);
int64_t context_ranks(const Context& context);

struct RowRange {
  int64_t first = 0, count = 0;
};
// A view of those rows of t [..., n], as [count, n]; undefined of an undefined one.
at::Tensor rows_in(const at::Tensor& t, const RowRange& range);

// work(rows, range) for all rows of a gather under way; with context.own_rows_first it is called
// for this rank's own ones before the others have come. Returns all, [B, T, n] (of gather_others:
// all that were gathered).
template <class Work>
at::Tensor for_rows(Exchange& gathering, const Context& context, Work work) {
  const at::Tensor own = context.own_rows_first ? gathering.source() : at::Tensor();
  const int64_t count = own.defined() ? own.numel() / own.size(-1) : 0,
                first = count > 0 ? count * tensor_rank(context) : 0;
  if (count > 0) work(own.view({count, -1}), RowRange{first, count});
  const at::Tensor all = gathering.wait(), rows = all.reshape({-1, all.size(-1)});
  for (const RowRange& range :
       {RowRange{0, first}, RowRange{first + count, rows.size(0) - first - count}})
    if (range.count > 0) work(rows.narrow(0, range.first, range.count), range);
  return all;
}

// Does a product over the tensor axis make this rank's own rows apart from the others'?
bool own_rows_apart(const Context& context);

// This rank's rows [B * T / ranks, n] of x or of a gradient -> all of them, [B, T, n].
Exchange gather_rows(const at::Tensor& own, Context& context);
// The same for for_rows() alone: where own rows are apart, they stay where they are.
Exchange gather_others(const at::Tensor& own, Context& context);
// [B, T, n], a part of a sum on each rank -> this rank's rows of the sum, [B * T / ranks, n].
// `into`, where defined, receives them, on several ranks.
Exchange sum_rows(const at::Tensor& part, Context& context, const at::Tensor& into = {});
// The same before this rank's own rows of `part` are made; own_rows_queued() follows.
Exchange begin_sum(const at::Tensor& part, Context& context, const at::Tensor& into);

// The input `h` of a layer, gathered, in a backward pass: as it was kept, or as it was computed
// again.
Exchange gather_input(const at::Tensor& kept, Context& context);
// What a forward pass keeps of it.
at::Tensor kept_input(const at::Tensor& h, const Context& context);

// Where rows of a part stand in the whole activation, counted from the micro-batch's first sample.
struct Rows {
  at::Tensor index;        // int64 [rows], on the device; undefined: the part is the whole
  int64_t per_sample = 0;  // rows of one sample in the whole
};
// Of the residual stream as a layer gets it: one row a token.
Rows residual_rows(Context& context);
// Positions in the whole sequence of the `length` tokens that this rank has of it, int64.
at::Tensor positions_of(int64_t length, const Context& context, const at::Device& device);

}  // namespace ocoee::nn
