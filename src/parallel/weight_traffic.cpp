// SPDX-License-Identifier: Apache-2.0
// The collectives of a split weight store: gathers of values, sums of gradients into slices.
#include <algorithm>

#include "core/error.h"
#include "core/trace.h"
#include "parallel/storage.h"
#include "parallel/weight_store.h"

namespace ocoee::parallel {

at::Tensor WeightStore::values_of(size_t unit) const {
  if (level_ == Shard::parameters) return unit_values_[unit];
  return value_.narrow(0, units()[unit].begin, units()[unit].elements());
}

at::Tensor WeightStore::gradients_of(size_t unit) const {
  if (!gradient_.defined()) return unit_gradients_[unit];
  return gradient_.narrow(0, units()[unit].begin, units()[unit].elements());
}

at::Tensor WeightStore::slice_of(const at::Tensor& shard_space, size_t unit) const {
  return shard_space.narrow(0, units()[unit].shard_begin,
                            units()[unit].elements() / layout_.ways());
}

at::Tensor WeightStore::own_part(const at::Tensor& whole, size_t unit) const {
  const int64_t length = units()[unit].elements() / layout_.ways();
  return whole.narrow(0, units()[unit].begin + layout_.which() * length, length);
}

at::Tensor WeightStore::gradient_slice(size_t unit) const {
  return level_ == Shard::states ? own_part(gradient_, unit) : slice_of(shard_gradient_, unit);
}

std::vector<at::Tensor> WeightStore::gradient_at(int64_t begin, int64_t end) const {
  if (level_ != Shard::states)
    return {(split() ? shard_gradient_ : gradient_).narrow(0, begin, end - begin)};
  std::vector<at::Tensor> out;
  for (size_t u = 0; u < units().size(); ++u) {
    const int64_t first = units()[u].shard_begin,
                  last = first + units()[u].elements() / layout_.ways();
    const int64_t from = std::max(begin, first), to = std::min(end, last);
    if (from < to) out.push_back(gradient_slice(u).narrow(0, from - first, to - from));
  }
  return out;
}

at::Tensor WeightStore::whole_value_of(const std::string& name) {
  const Slot& found = slot(name);
  finish_gather(found.unit);
  return values_of(found.unit)
      .narrow(0, found.offset - units()[found.unit].begin, found.elements)
      .view(found.spec->shape);
}

at::Tensor WeightStore::whole_gradient_of(const std::string& name) {
  const Slot& found = slot(name);
  open_gradient(found.unit);
  return gradients_of(found.unit)
      .narrow(0, found.offset - units()[found.unit].begin, found.elements)
      .view(found.spec->shape);
}

void WeightStore::lend(size_t unit, bool on) {
  for (const auto* parts : {&unit_values_, &unit_gradients_}) {
    if (!parts->empty()) (on ? make_present : make_absent)((*parts)[unit]);
  }
}

void WeightStore::start_publishing(int64_t end) {
  if (level_ != Shard::states && level_ != Shard::gradients) return;
  const trace::Scope scope("communication", "comm:data");
  const device::Stream stream = current_stream(nn::place_of(master_));
  for (; published_units_ < units().size(); ++published_units_) {
    const size_t u = published_units_;
    const int64_t length = units()[u].elements() / layout_.ways();
    if (units()[u].shard_begin + length > end) return;
    if (length == 0) continue;
    const at::Tensor own = values_in_place() ? own_part(value_, u) : slice_of(master_, u);
    publishing_.push_back(
        group_->all_gather_async(buffer_of(own), buffer_of(values_of(u)), stream));
  }
}

void WeightStore::publish() {
  // Values that were gathered before are those of the step before.
  for (size_t u = 0; u < unit_values_.size(); ++u) release_values(u);
  start_publishing(shard_elements());
  published_units_ = 0;
  const trace::Scope scope("communication", "comm:data");
  for (auto& work : publishing_) work->wait(current_stream(nn::place_of(master_)));
  publishing_.clear();
}

void WeightStore::start_gather(size_t unit) {
  if (level_ != Shard::parameters || units()[unit].elements() == 0 || present(unit_values_[unit]))
    return;
  const trace::Scope scope("communication", "comm:data");
  make_present(unit_values_[unit]);
  const at::Tensor& source = precision_.has_master_copy() ? shard_value_ : master_;
  gathers_[unit] =
      group_->all_gather_async(buffer_of(slice_of(source, unit)), buffer_of(unit_values_[unit]),
                               current_stream(nn::place_of(master_)));
}

void WeightStore::finish_gather(size_t unit) {
  if (level_ != Shard::parameters) return;
  start_gather(unit);
  if (!gathers_[unit]) return;
  const trace::Scope scope("communication", "comm:data");
  gathers_[unit]->wait(current_stream(nn::place_of(master_)));
  gathers_[unit].reset();
}

void WeightStore::release_values(size_t unit) {
  if (level_ != Shard::parameters || !present(unit_values_[unit])) return;
  finish_gather(unit);  // a prefetch that nobody used
  make_absent(unit_values_[unit]);
}

void WeightStore::open_gradient(size_t unit) {
  // A sum of the micro-batch before may still be reading it.
  const auto reads = [&](const Reduction& sum) { return sum.unit == unit && sum.releases; };
  while (std::any_of(reductions_.begin(), reductions_.end(), reads)) finish_oldest();
  if (gradient_.defined() || present(unit_gradients_[unit])) return;
  const at::NoGradGuard no_grad;
  make_present(unit_gradients_[unit]);
  unit_gradients_[unit].zero_();
}

void WeightStore::start_reduce(size_t unit, bool last) {
  if (units()[unit].elements() == 0) return;
  const bool releases = !gradient_.defined();
  open_gradient(unit);
  const at::Tensor whole = gradients_of(unit), slice = gradient_slice(unit);
  Reduction reduction;
  reduction.unit = unit;
  reduction.releases = releases;
  reduction.last = last;
  reduction.arrived = releases ? at::empty_like(slice) : at::Tensor();
  reduction.work = group_->reduce_scatter_async(
      buffer_of(whole), buffer_of(releases ? reduction.arrived : slice), comm::Reduce::sum,
      current_stream(nn::place_of(master_)));
  reductions_.push_back(std::move(reduction));
  // Whole gradients of a few units at a time, or the memory saved would be lost again.
  constexpr size_t kMostUnderWay = 2;
  while (releases && reductions_.size() > kMostUnderWay) finish_oldest();
}

void WeightStore::finish_oldest() {
  Reduction reduction = std::move(reductions_.front());
  reductions_.erase(reductions_.begin());
  const at::NoGradGuard no_grad;
  const device::Stream stream = current_stream(nn::place_of(master_));
  {
    const trace::Scope scope("communication", "comm:data");
    reduction.work->wait(stream);
  }
  const at::Tensor slice = gradient_slice(reduction.unit);
  if (reduction.releases) {
    slice.add_(reduction.arrived);
    make_absent(unit_gradients_[reduction.unit]);
  }
  if (reduction.last && twins_)
    twin_sums_.push_back(twins_->all_reduce_async(buffer_of(slice), comm::Reduce::sum, stream));
}

int64_t WeightStore::finish_all_but_last() {
  while (reductions_.size() > 1) finish_oldest();
  if (reductions_.empty() || twins_) return shard_elements();
  // Units are summed from the last to the first; elsewhere nothing is known.
  const Unit& unit = units()[reductions_.front().unit];
  return unit.shard_begin == 0 ? unit.elements() / layout_.ways() : shard_elements();
}

void WeightStore::finish_reductions() {
  if (reductions_.empty() && twin_sums_.empty()) return;
  const trace::Scope scope("communication", "comm:data");
  while (!reductions_.empty()) finish_oldest();
  for (const comm::WorkHandle& sum : twin_sums_) sum->wait(current_stream(nn::place_of(master_)));
  twin_sums_.clear();
}

void WeightStore::poll_reductions() {
  for (Reduction& reduction : reductions_) reduction.work->done();
  // Summing over the twins begins as soon as a slice is complete. On a GPU the order in which ranks
  // enqueue must not hang on their clocks, so there it follows one unit behind.
  const auto complete = [&] {
    return device_.is_cuda() ? reductions_.size() > 1 : reductions_.front().work->done();
  };
  while (twins_ && !reductions_.empty() && complete()) finish_oldest();
  for (const comm::WorkHandle& sum : twin_sums_) sum->done();
}

void WeightStore::sum_unsplit_gradients(comm::Communicator& tensor) {
  const at::NoGradGuard no_grad;
  const trace::Scope scope("communication", "comm:tensor");
  std::vector<at::Tensor> parts;
  for (const auto& [begin, end] :
       stretches([](const plan::ParameterSpec& spec) { return spec.tensor_dim < 0; })) {
    for (const at::Tensor& part : gradient_at(begin, end)) parts.push_back(part);
  }
  // Every rank of the axis has the same slices, so it may be none on all of them.
  if (parts.empty()) return;
  unsplit_gradients_ = at::cat(parts);
  tensor.all_reduce(buffer_of(unsplit_gradients_), comm::Reduce::sum,
                    current_stream(nn::place_of(master_)));
  int64_t at = 0;
  for (at::Tensor& part : parts) {
    part.copy_(unsplit_gradients_.narrow(0, at, part.numel()));
    at += part.numel();
  }
}

void WeightStore::zero_gradients() {
  const at::NoGradGuard no_grad;
  if (gradient_.defined()) gradient_.zero_();
  if (shard_gradient_.defined()) shard_gradient_.zero_();
  for (const at::Tensor& gradient : unit_gradients_) make_absent(gradient);
  for (Borrowed& one : borrowed_) one.gradient.zero_();
}

}  // namespace ocoee::parallel
