// SPDX-License-Identifier: Apache-2.0
// The host half: plain memory, streams that run work at once, events that only note the time. CUDA
// devices go on to cuda_calls.h.
#include "device/device.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "device/cuda_calls.h"

namespace ocoee::device {
namespace {

constexpr size_t kAlignment = 64;  // a cache line, and the widest vector register

std::atomic<int64_t> waits{0};

void* allocate_host(size_t bytes) {
  const size_t whole = (std::max<size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  void* data = whole < bytes ? nullptr : std::aligned_alloc(kAlignment, whole);
  if (!data) fail(ErrorKind::memory, "the host could not give {} bytes more", bytes);
  return data;
}

double now_milliseconds() {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

std::string name_of(const Device& device) {
  return device.is_cuda() ? "cuda:" + std::to_string(device.index) : "cpu";
}

bool built_with_cuda() {
  return cuda::built();
}
int cuda_device_count() {
  return cuda::device_count();
}
std::string cuda_unavailable_reason() {
  return cuda::unavailable_reason();
}

Properties properties(const Device& device) {
  if (device.is_cuda()) return cuda::properties(device);
  Properties p;
  p.name = "cpu";
  p.memory_bytes =
      static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGE_SIZE));
  p.multiprocessors = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  return p;
}

Memory::Memory(size_t bytes, Where where, Device device)
    : bytes_(bytes), where_(where), device_(device) {
  // Without a GPU in play there is nothing to pin for, and a CPU's "device memory" is the host's.
  if (where == Where::host || !device.is_cuda()) where_ = Where::host;
  switch (where_) {
    case Where::host:
      data_ = allocate_host(bytes);
      break;
    case Where::pinned:
      data_ = cuda::allocate_pinned(bytes);
      break;
    case Where::device:
      data_ = cuda::allocate(bytes, device);
      break;
  }
}

Memory::~Memory() {
  if (!data_) return;
  switch (where_) {
    case Where::host:
      std::free(data_);
      break;
    case Where::pinned:
      cuda::release_pinned(data_);
      break;
    case Where::device:
      cuda::release(data_, device_);
      break;
  }
}

Memory::Memory(Memory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      where_(other.where_),
      device_(other.device_) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(where_, other.where_);
  std::swap(device_, other.device_);
  return *this;
}

Device Memory::device() const {
  return where_ == Where::device ? device_ : Device{};
}

// handle_ is a cudaEvent_t, or on the CPU the time in milliseconds at which it was recorded.
Event::Event(Device device, bool timing) : device_(device) {
  handle_ = device.is_cuda() ? cuda::create_event(device, timing) : new double(0);
}

Event::~Event() {
  if (!handle_) return;
  if (device_.is_cuda()) {
    cuda::destroy_event(handle_);
  } else {
    delete static_cast<double*>(handle_);
  }
}

Event::Event(Event&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), device_(other.device_) {}

Event& Event::operator=(Event&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(device_, other.device_);
  return *this;
}

void Event::record(const Stream& stream) {
  if (device_.is_cuda()) {
    cuda::record(handle_, stream);
  } else {
    *static_cast<double*>(handle_) = now_milliseconds();
  }
}

void Event::record_by_replays(const Stream& stream) {
  if (device_.is_cuda())
    cuda::record_by_replays(handle_, stream);
  else
    record(stream);
}

void Event::wait_on(const Stream& stream) const {
  if (device_.is_cuda()) cuda::wait(stream, handle_);
}

bool Event::done() const {
  return !device_.is_cuda() || cuda::done(handle_);
}

void Event::synchronize() const {
  if (!device_.is_cuda()) return;
  ++waits;
  cuda::synchronize_event(handle_);
}

double Event::milliseconds_since(const Event& earlier) const {
  if (device_.is_cuda()) return cuda::milliseconds_between(earlier.handle_, handle_);
  return *static_cast<double*>(handle_) - *static_cast<double*>(earlier.handle_);
}

OwnedStream::OwnedStream(Device device, bool high_priority) {
  stream_.device = device;
  if (device.is_cuda()) stream_.handle = cuda::create_stream(device, high_priority);
}

OwnedStream::~OwnedStream() {
  if (stream_.handle) cuda::destroy_stream(stream_.handle);
}

void copy(void* to, Device to_device, const void* from, Device from_device, size_t bytes,
          const Stream& stream) {
  if (bytes == 0) return;
  if (!to_device.is_cuda() && !from_device.is_cuda()) {
    std::memmove(to, from, bytes);
    return;
  }
  Stream on = stream;
  if (!on.device.is_cuda()) on = {nullptr, to_device.is_cuda() ? to_device : from_device};
  cuda::copy(to, from, bytes, on);
}

void set_zero(const Buffer& buffer, const Stream& stream) {
  if (buffer.bytes() == 0) return;
  if (!buffer.device.is_cuda()) {
    std::memset(buffer.data, 0, buffer.bytes());
    return;
  }
  cuda::set_zero(buffer.data, buffer.bytes(),
                 stream.device.is_cuda() ? stream : Stream{nullptr, buffer.device});
}

void synchronize(const Stream& stream) {
  if (!stream.device.is_cuda()) return;
  ++waits;
  cuda::synchronize_stream(stream);
}

bool capturing(const Stream& stream) {
  return stream.device.is_cuda() && cuda::capturing(stream);
}

int64_t host_waits() {
  return waits;
}

}  // namespace ocoee::device
