// SPDX-License-Identifier: Apache-2.0
#include "nn/tensor_axis.h"

#include "core/error.h"
#include "core/trace.h"
#include "nn/tensors.h"

namespace ocoee::nn {
namespace {

using comm::Axis;

int64_t ranks_on(const Context& context, Axis axis) {
  return context.mesh ? context.mesh->size(axis) : 1;
}

const at::Tensor& tokens_of(const Context& context) {
  OCOEE_CHECK(context.batch, "a layer on several ranks without its micro-batch");
  return context.batch->at("tokens");
}

}  // namespace

at::Tensor Exchange::wait() {
  if (work_) {
    const trace::Scope scope("communication", "comm:tensor");
    work_->wait(current_stream(place_of(result_)));
  }
  work_.reset();
  source_.reset();
  return result_;
}

void Exchange::own_rows_queued() {
  const trace::Scope scope("communication", "comm:tensor");
  work_->own_block_queued(current_stream(place_of(result_)));
}

std::vector<int64_t> Exchange::sizes(int64_t last) const {
  std::vector<int64_t> sizes = result_.sizes().vec();
  sizes.back() = last;
  return sizes;
}

int64_t tensor_ranks(const Context& context) {
  return ranks_on(context, Axis::tensor);
}
int64_t tensor_rank(const Context& context) {
  return context.mesh ? context.mesh->coordinate(Axis::tensor) : 0;
}
int64_t context_ranks(const Context& context) {
  return ranks_on(context, Axis::context);
}

at::Tensor rows_in(const at::Tensor& t, const RowRange& range) {
  if (!t.defined()) return {};
  return t.view({-1, t.size(-1)}).narrow(0, range.first, range.count);
}

namespace {

Exchange gather(const at::Tensor& own, Context& context, bool others_alone) {
  if (tensor_ranks(context) == 1) return Exchange(own);
  const at::Tensor& tokens = tokens_of(context);
  const at::Tensor source = own.contiguous(),
                   all = at::empty({tokens.size(0), tokens.size(1), own.size(-1)}, own.options());
  const trace::Scope scope("communication", "comm:tensor");
  comm::Communicator& axis = context.mesh->axis(Axis::tensor);
  const device::Buffer from = buffer_of(source), to = buffer_of(all);
  const device::Stream stream = current_stream(place_of(source));
  return {source, all,
          others_alone ? axis.all_gather_others_async(from, to, stream)
                       : axis.all_gather_async(from, to, stream)};
}

}  // namespace

Exchange gather_rows(const at::Tensor& own, Context& context) {
  return gather(own, context, /*others_alone=*/false);
}
Exchange gather_others(const at::Tensor& own, Context& context) {
  return gather(own, context, own_rows_apart(context));
}

bool own_rows_apart(const Context& context) {
  return context.own_rows_first && tensor_ranks(context) > 1;
}

namespace {

// This rank's rows of a sum, to be filled.
at::Tensor rows_of_sum(const at::Tensor& part, const Context& context, const at::Tensor& into) {
  const int64_t rows = part.numel() / part.size(-1), ranks = tensor_ranks(context);
  OCOEE_CHECK(rows % ranks == 0, "{} rows over {} tensor ranks", rows, ranks);
  return into.defined() ? into : at::empty({rows / ranks, part.size(-1)}, part.options());
}

}  // namespace

Exchange begin_sum(const at::Tensor& part, Context& context, const at::Tensor& into) {
  const at::Tensor own = rows_of_sum(part, context, into);
  const trace::Scope scope("communication", "comm:tensor");
  comm::WorkHandle work =
      context.mesh->axis(Axis::tensor)
          .reduce_scatter_own_later(buffer_of(part), buffer_of(own), comm::Reduce::sum,
                                    current_stream(place_of(part)));
  return {part, own, std::move(work)};
}

Exchange sum_rows(const at::Tensor& part, Context& context, const at::Tensor& into) {
  if (tensor_ranks(context) == 1) return Exchange(part);
  const at::Tensor own = rows_of_sum(part, context, into);
  const trace::Scope scope("communication", "comm:tensor");
  comm::WorkHandle work =
      context.mesh->axis(Axis::tensor)
          .reduce_scatter_async(buffer_of(part), buffer_of(own), comm::Reduce::sum,
                                current_stream(place_of(part)));
  return {part, own, std::move(work)};
}

Exchange gather_input(const at::Tensor& kept, Context& context) {
  OCOEE_CHECK(kept.defined() || context.again, "a layer whose input was neither kept nor repeated");
  return gather_rows(kept.defined() ? kept : context.again->at("h"), context);
}

at::Tensor kept_input(const at::Tensor& h, const Context& context) {
  return context.selective ? at::Tensor() : h;
}

at::Tensor positions_of(int64_t length, const Context& context, const at::Device& device) {
  const int64_t ranks = context_ranks(context);
  std::vector<at::Tensor> runs;
  const int64_t rank = ranks > 1 ? context.mesh->coordinate(Axis::context) : 0;
  for (const auto& [first, last] :
       plan::sequence_pieces(context.context_method, length * ranks, ranks, rank))
    runs.push_back(at::arange(first, last, at::TensorOptions().dtype(at::kLong).device(device)));
  return runs.size() == 1 ? runs[0] : at::cat(runs);
}

Rows residual_rows(Context& context) {
  const int64_t ranks = tensor_ranks(context);
  if (ranks * context_ranks(context) == 1) return {};
  const at::Tensor& tokens = tokens_of(context);
  const int64_t samples = tokens.size(0), length = tokens.size(1),
                whole = length * context_ranks(context);
  at::Tensor& known = context.row_index[{samples, length}];
  if (!known.defined()) {
    const at::Tensor sample = at::arange(samples, tokens.options()).unsqueeze(1);
    const at::Tensor all =
        (sample * whole + positions_of(length, context, tokens.device())).view(-1);
    const int64_t own = all.numel() / ranks;
    known = all.narrow(0, tensor_rank(context) * own, own).contiguous();
  }
  return {known, whole};
}

}  // namespace ocoee::nn
