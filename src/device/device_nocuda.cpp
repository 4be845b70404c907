// SPDX-License-Identifier: Apache-2.0
// The CPU twin: host memory, streams that run work at once, graphs that call their function again.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "device/device.h"

namespace ocoee::device {
namespace {

std::atomic<int64_t> waits{0};

[[noreturn]] void no_cuda(const Device& device) {
  fail(ErrorKind::device, "{} is asked for, but {}\n    fix: set run.device = \"cpu\", or build with ./dev cuda", name_of(device), cuda_unavailable_reason());
}

}  // namespace

std::string name_of(const Device& device) { return device.is_cuda() ? "cuda:" + std::to_string(device.index) : "cpu"; }
bool built_with_cuda() { return false; }
int cuda_device_count() { return 0; }
std::string cuda_unavailable_reason() { return "this program was built without CUDA"; }

Properties properties(const Device& device) {
  if (device.is_cuda()) no_cuda(device);
  Properties p;
  p.name = "cpu";
  p.memory_bytes = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGE_SIZE));
  p.multiprocessors = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  return p;
}

Memory::Memory(size_t bytes, Where where, Device device) : bytes_(bytes), where_(where), device_(device) {
  if (where == Where::device && device.is_cuda()) no_cuda(device);
  data_ = std::aligned_alloc(64, (std::max<size_t>(bytes, 1) + 63) / 64 * 64);
  if (!data_) fail(ErrorKind::memory, "the host has no {} bytes left", bytes);
}
Memory::~Memory() { std::free(data_); }
Memory::Memory(Memory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)), where_(other.where_), device_(other.device_) {}
Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(where_, other.where_);
  std::swap(device_, other.device_);
  return *this;
}
Device Memory::device() const { return where_ == Where::device ? device_ : Device{}; }

namespace {
double now_milliseconds() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
}  // namespace

Event::Event(Device device, bool) : device_(device) {
  if (device.is_cuda()) no_cuda(device);
  handle_ = new double(0);
}
Event::~Event() { delete static_cast<double*>(handle_); }
Event::Event(Event&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)), device_(other.device_) {}
Event& Event::operator=(Event&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(device_, other.device_);
  return *this;
}
void Event::record(const Stream&) { *static_cast<double*>(handle_) = now_milliseconds(); }
void Event::wait_on(const Stream&) const {}
bool Event::done() const { return true; }
void Event::synchronize() const {}
double Event::milliseconds_since(const Event& earlier) const {
  return *static_cast<double*>(handle_) - *static_cast<double*>(earlier.handle_);
}

OwnedStream::OwnedStream(Device device, bool) {
  if (device.is_cuda()) no_cuda(device);
  stream_.device = device;
}
OwnedStream::~OwnedStream() = default;

void copy(void* to, Device, const void* from, Device, size_t bytes, const Stream&) { std::memcpy(to, from, bytes); }
void set_zero(const Buffer& buffer, const Stream&) { std::memset(buffer.data, 0, buffer.bytes()); }
void synchronize(const Stream&) {}
int64_t host_waits() { return waits; }

struct Graph::Impl {
  std::function<void()> work;
};
Graph::Graph() : impl_(std::make_unique<Impl>()) {}
Graph::~Graph() = default;
Graph::Graph(Graph&&) noexcept = default;
void Graph::capture(const Stream&, const std::function<void()>& work) { impl_->work = work; }
void Graph::replay(const Stream&) {
  OCOEE_CHECK(captured(), "replay before capture");
  impl_->work();
}
bool Graph::captured() const { return static_cast<bool>(impl_->work); }

}  // namespace ocoee::device
