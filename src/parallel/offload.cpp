// SPDX-License-Identifier: Apache-2.0
#include "parallel/offload.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/error.h"
#include "nn/tensors.h"

namespace ocoee::parallel {
namespace {

constexpr int64_t kSmallest = 1024;  // bytes; less is not worth a copy
constexpr int64_t kAlignment = 16;   // of ranges, so that views of any type lie in them

// First and last element that a tensor touches in its storage.
std::pair<int64_t, int64_t> extent_of(const at::Tensor& tensor) {
  int64_t last = tensor.storage_offset();
  for (int64_t d = 0; d < tensor.dim(); ++d) last += (tensor.size(d) - 1) * tensor.stride(d);
  return {tensor.storage_offset(), last + 1};
}

struct Group {  // saved tensors that share a storage
  const void* storage;
  int64_t begin, end, saved;  // bytes: what they span, and what they hold
  std::vector<size_t> places;
};

bool same_view(const at::Tensor& a, const at::Tensor& b) {
  return a.storage_offset() == b.storage_offset() && a.sizes() == b.sizes() &&
         a.strides() == b.strides();
}

std::vector<Group> groups_of(const std::vector<at::Tensor*>& places,
                             const std::vector<at::Tensor>& spared) {
  std::vector<Group> groups;
  for (size_t p = 0; p < places.size(); ++p) {
    const at::Tensor& tensor = *places[p];
    if (!tensor.defined() || !tensor.is_floating_point() || tensor.numel() == 0) continue;
    const void* storage = tensor.storage().unsafeGetStorageImpl();
    const bool stays = std::any_of(spared.begin(), spared.end(), [&](const at::Tensor& other) {
      return other.defined() && other.storage().unsafeGetStorageImpl() == storage;
    });
    if (stays) continue;
    const auto size = static_cast<int64_t>(tensor.element_size());
    const auto [first, last] = extent_of(tensor);
    const int64_t begin = first * size / kAlignment * kAlignment, end = last * size;
    const int64_t held = tensor.numel() * size;
    auto found = std::find_if(groups.begin(), groups.end(),
                              [&](const Group& g) { return g.storage == storage; });
    if (found == groups.end()) {
      groups.push_back({storage, begin, end, held, {p}});
      continue;
    }
    const bool again = std::any_of(found->places.begin(), found->places.end(),
                                   [&](size_t other) { return same_view(*places[other], tensor); });
    found->begin = std::min(found->begin, begin);
    found->end = std::max(found->end, end);
    found->saved += again ? 0 : held;
    found->places.push_back(p);
  }
  // A small view of something large would bring the large thing along.
  std::erase_if(
      groups, [](const Group& g) { return g.saved < kSmallest || g.end - g.begin > 2 * g.saved; });
  return groups;
}

}  // namespace

Offload::Offload(device::Device device) : device_(device) {
  if (device.is_cuda()) copies_ = std::make_unique<device::OwnedStream>(device);
}
Offload::~Offload() {
  if (copies_) device::synchronize(copies_->view());
}

device::Memory Offload::take(size_t bytes) {
  const auto fits = std::find_if(free_.begin(), free_.end(), [&](const device::Memory& m) {
    return m.bytes() >= bytes && m.bytes() <= bytes + bytes / 8;
  });
  if (fits == free_.end()) return {bytes, device::Memory::Where::pinned, device_};
  device::Memory memory = std::move(*fits);
  free_.erase(fits);
  return memory;
}

void Offload::give(device::Memory memory) {
  counters_.held -= static_cast<int64_t>(memory.bytes());
  free_.push_back(std::move(memory));
}

// Tensors whose copy the compute stream has been told to wait for may be freed on it.
void Offload::let_go(size_t most_left) {
  for (; leaving_.size() > most_left; leaving_.pop_front())
    leaving_.front().copied.wait_on(nn::current_stream(device_));
}

Offload::Parked Offload::park(const std::vector<at::Tensor*>& places,
                              const std::vector<at::Tensor>& spared) {
  Parked parked;
  Leaving leaving{{}, device::Event(device_)};
  const device::Stream compute = nn::current_stream(device_);
  const device::Stream copies = copies_ ? copies_->view() : compute;
  if (copies_) {
    device::Event ready(device_);
    ready.record(compute);
    ready.wait_on(copies);
  }
  for (const Group& group : groups_of(places, spared)) {
    Parked::Range range;
    range.bytes = group.end - group.begin;
    range.host = take(static_cast<size_t>(range.bytes));
    counters_.held += static_cast<int64_t>(range.host.bytes());
    counters_.bytes_out += range.bytes;
    const at::Tensor& any = *places[group.places[0]];
    const char* from = static_cast<const char*>(any.storage().data()) + group.begin;
    device::copy(range.host.data(), {}, from, device_, static_cast<size_t>(range.bytes), copies);
    leaving.tensors.push_back(any);
    for (const size_t place : group.places) {
      at::Tensor& tensor = *places[place];
      const int64_t first =
          tensor.storage_offset() - group.begin / static_cast<int64_t>(tensor.element_size());
      parked.views_.push_back({place, parked.ranges_.size(), first, tensor.sizes().vec(),
                               tensor.strides().vec(), tensor.scalar_type()});
      tensor = at::Tensor();
    }
    parked.ranges_.push_back(std::move(range));
  }
  counters_.most_held = std::max(counters_.most_held, counters_.held);
  if (!copies_ || parked.empty()) return parked;
  leaving.copied.record(copies);
  leaving_.push_back(std::move(leaving));
  let_go(1);
  return parked;
}

void Offload::fetch(Parked& parked) {
  if (parked.fetched_ || parked.empty()) return;
  parked.fetched_ = true;
  let_go(0);
  const device::Stream compute = nn::current_stream(device_);
  const device::Stream copies = copies_ ? copies_->view() : compute;
  for (Parked::Range& range : parked.ranges_)
    range.back = at::empty({range.bytes},
                           at::TensorOptions().dtype(at::kByte).device(nn::torch_device(device_)));
  if (copies_) {  // the new memory may still be in use by work that was queued before
    device::Event ready(device_);
    ready.record(compute);
    ready.wait_on(copies);
  }
  for (Parked::Range& range : parked.ranges_) {
    device::copy(range.back.data_ptr(), device_, range.host.data(), {},
                 static_cast<size_t>(range.bytes), copies);
    counters_.bytes_back += range.bytes;
  }
  if (!copies_) return;
  parked.arrived_ = std::make_unique<device::Event>(device_);
  parked.arrived_->record(copies);
}

void Offload::restore(Parked& parked, const std::vector<at::Tensor*>& places) {
  fetch(parked);
  if (parked.arrived_) parked.arrived_->wait_on(nn::current_stream(device_));
  for (const Parked::View& view : parked.views_) {
    OCOEE_CHECK(view.place < places.size(), "saved tensors changed while they were away");
    const at::Tensor& bytes = parked.ranges_[view.range].back;
    *places[view.place] = at::empty({0}, bytes.options().dtype(view.type))
                              .set_(bytes.storage(), view.offset, view.sizes, view.strides);
  }
  for (Parked::Range& range : parked.ranges_) give(std::move(range.host));
  parked = {};
}

}  // namespace ocoee::parallel
