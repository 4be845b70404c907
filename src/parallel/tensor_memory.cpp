// SPDX-License-Identifier: Apache-2.0
#include "parallel/tensor_memory.h"

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <c10/util/Exception.h>

#include <malloc.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/text.h"

namespace ocoee::parallel {
namespace {

std::atomic<int64_t> now{0}, peak{0};

constexpr const char* kLessMemory =
    "\n    fix: lower batch.micro or the model, set layout.recompute or layout.loss_chunks, or "
    "split over more ranks; `ocoee plan RECIPE` says what each takes";

// The size of a block stands in a line of its own before it.
constexpr size_t kLine = 64;

void add(int64_t bytes) {
  const int64_t held = now.fetch_add(bytes) + bytes;
  int64_t seen = peak.load();
  while (held > seen && !peak.compare_exchange_weak(seen, held)) {
  }
}

void release(void* data) {
  if (!data) return;
  char* block = static_cast<char*>(data) - kLine;
  int64_t bytes = 0;
  std::memcpy(&bytes, block, sizeof bytes);
  now -= bytes;
  c10::free_cpu(block);
}

char* take(size_t bytes) {
  try {
    return static_cast<char*>(c10::alloc_cpu(bytes));
  } catch (const c10::Error&) {
    fail(ErrorKind::memory, "the host has no {} for another tensor; tensors hold {} of it{}",
         format_bytes(static_cast<double>(bytes)), format_bytes(static_cast<double>(now.load())),
         kLessMemory);
  }
}

std::optional<Error> out_of_gpu_memory(const std::exception& error) {
  if (!dynamic_cast<const c10::OutOfMemoryError*>(&error)) return std::nullopt;
  const std::string_view text = error.what();
  return Error(ErrorKind::memory,
               fmt::format("{}{}", text.substr(0, text.find('\n')), kLessMemory));
}

struct CountingAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &release, c10::Device(c10::kCPU)};
    char* block = take(bytes + kLine);
    const auto counted = static_cast<int64_t>(bytes);
    std::memcpy(block, &counted, sizeof counted);
    add(counted);
    char* data = block + kLine;
    return {data, data, &release, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
};

// What tensors free stays with the process. Else memory that goes back to the system between
// micro-batches comes again page by page, which has cost a quarter of a small model's step.
void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  if (!mallopt(M_MMAP_THRESHOLD, 1 << 30)) mallopt(M_MMAP_THRESHOLD, 1 << 25);  // older: at most
#endif
}

int64_t status_line(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(key, 0) == 0) return std::stoll(line.substr(key.size())) * 1024;
  }
  return 0;
}

}  // namespace

void count_tensor_memory() {
  static CountingAllocator* const allocator = [] {
    keep_freed_memory();
    translate_errors_by(out_of_gpu_memory);
    auto* made = new CountingAllocator;  // torch keeps it to the end
    c10::SetCPUAllocator(made, /*priority=*/1);
    return made;
  }();
  (void)allocator;
}

TensorMemory tensor_memory(const device::Device& device) {
  if (device.is_cuda()) return cuda_tensor_memory(device);
  return {now.load(), peak.load()};
}

void reset_tensor_peak(const device::Device& device) {
  if (device.is_cuda()) return reset_cuda_tensor_peak(device);
  peak = now.load();
}

int64_t resident_bytes() {
  return status_line("VmRSS:");
}
int64_t peak_resident_bytes() {
  return status_line("VmHWM:");
}

}  // namespace ocoee::parallel
