// SPDX-License-Identifier: Apache-2.0
// The collectives of a split weight store: gathers of values, sums of gradients into slices.
#include "core/error.h"
#include "core/trace.h"
#include "parallel/storage.h"
#include "parallel/weight_store.h"

namespace ocoee::parallel {

at::Tensor WeightStore::values_of(size_t unit) const {
  if (level_ == Shard::parameters) return unit_values_[unit];
  return value_.narrow(0, units_[unit].begin, units_[unit].elements());
}

at::Tensor WeightStore::gradients_of(size_t unit) const {
  if (!gradient_.defined()) return unit_gradients_[unit];
  return gradient_.narrow(0, units_[unit].begin, units_[unit].elements());
}

at::Tensor WeightStore::slice_of(const at::Tensor& shard_space, size_t unit) const {
  return shard_space.narrow(0, units_[unit].shard_begin, units_[unit].elements() / ways_);
}

at::Tensor WeightStore::whole_value_of(const std::string& name) {
  const Slot& found = slot(name);
  finish_gather(found.unit);
  return values_of(found.unit)
      .narrow(0, found.offset - units_[found.unit].begin, found.elements)
      .view(found.spec->shape);
}

at::Tensor WeightStore::whole_gradient_of(const std::string& name) {
  const Slot& found = slot(name);
  open_gradient(found.unit);
  return gradients_of(found.unit)
      .narrow(0, found.offset - units_[found.unit].begin, found.elements)
      .view(found.spec->shape);
}

void WeightStore::lend(size_t unit, bool on) {
  for (const auto* parts : {&unit_values_, &unit_gradients_}) {
    if (!parts->empty()) (on ? make_present : make_absent)((*parts)[unit]);
  }
}

void WeightStore::publish() {
  if (level_ != Shard::states && level_ != Shard::gradients) return;
  const trace::Scope scope("communication", "comm:data");
  const device::Stream stream = current_stream(nn::place_of(master_));
  const at::Tensor& source = precision_.has_master_copy() ? shard_value_ : master_;
  std::vector<comm::WorkHandle> under_way;
  for (size_t u = 0; u < units_.size(); ++u) {
    if (units_[u].elements() == 0) continue;
    under_way.push_back(
        group_->all_gather_async(buffer_of(slice_of(source, u)), buffer_of(values_of(u)), stream));
  }
  for (auto& work : under_way) work->wait(stream);
}

void WeightStore::start_gather(size_t unit) {
  if (level_ != Shard::parameters || units_[unit].elements() == 0 || present(unit_values_[unit]))
    return;
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
  gathers_[unit]->wait(current_stream(nn::place_of(master_)));
  gathers_[unit].reset();
}

void WeightStore::release_values(size_t unit) {
  if (level_ != Shard::parameters || !present(unit_values_[unit])) return;
  finish_gather(unit);  // a prefetch that nobody used
  make_absent(unit_values_[unit]);
}

void WeightStore::open_gradient(size_t unit) {
  if (gradient_.defined() || present(unit_gradients_[unit])) {
    // A sum of the micro-batch before may still be reading it.
    for (const Reduction& reduction : reductions_) {
      if (reduction.unit == unit && reduction.releases) {
        finish_reductions();
        break;
      }
    }
  }
  if (gradient_.defined() || present(unit_gradients_[unit])) return;
  const at::NoGradGuard no_grad;
  make_present(unit_gradients_[unit]);
  unit_gradients_[unit].zero_();
}

void WeightStore::start_reduce(size_t unit) {
  if (units_[unit].elements() == 0) return;
  const bool releases = !gradient_.defined();
  open_gradient(unit);
  const at::Tensor whole = gradients_of(unit), slice = slice_of(shard_gradient_, unit);
  Reduction reduction;
  reduction.unit = unit;
  reduction.releases = releases;
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
  reduction.work->wait(current_stream(nn::place_of(master_)));
  if (!reduction.releases) return;
  slice_of(shard_gradient_, reduction.unit).add_(reduction.arrived);
  make_absent(unit_gradients_[reduction.unit]);
}

void WeightStore::finish_reductions() {
  if (reductions_.empty()) return;
  const trace::Scope scope("communication", "comm:data");
  while (!reductions_.empty()) finish_oldest();
}

void WeightStore::poll_reductions() {
  for (Reduction& reduction : reductions_) reduction.work->done();
}

void WeightStore::sum_unsplit_gradients(comm::Communicator& tensor) {
  const at::NoGradGuard no_grad;
  const trace::Scope scope("communication", "comm:tensor");
  std::vector<at::Tensor> parts;
  for (const auto& [begin, end] :
       stretches([](const plan::ParameterSpec& spec) { return spec.tensor_dim < 0; }))
    parts.push_back(shard_gradient().narrow(0, begin, end - begin));
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
  if (split()) shard_gradient_.zero_();
  for (const at::Tensor& gradient : unit_gradients_) make_absent(gradient);
  for (Borrowed& one : borrowed_) one.gradient.zero_();
}

}  // namespace ocoee::parallel
