// SPDX-License-Identifier: Apache-2.0
// A library that the CUDA driver loads into any program: it counts the time of each kernel, copy
// and fill, also inside replayed graphs, and writes one line a name when the program ends.
//
//   CUDA_INJECTION64_PATH=build-cuda/bench/profile/libkernel_times.so KERNEL_TIMES=FILE PROGRAM
//
// KERNEL_TIMES_SKIP=SECONDS leaves out what ran before that much time had passed since the first
// kernel (warm-up). Line: milliseconds, calls, microseconds a call, name.
#include <cupti.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <cxxabi.h>

namespace {

struct Total {
  double nanoseconds = 0;
  int64_t calls = 0;
};
std::mutex mutex;
std::map<std::string, Total> totals;
uint64_t first = 0, last = 0, skip = 0;
double busy = 0;

std::string readable(const char* name) {
  int status = 0;
  char* text = abi::__cxa_demangle(name, nullptr, nullptr, &status);
  std::string out = status == 0 ? text : name;
  std::free(text);
  return out;
}

void add(const std::string& name, uint64_t begin, uint64_t end) {
  if (first == 0) first = begin + skip;
  if (begin < first) return;
  Total& total = totals[name];
  total.nanoseconds += static_cast<double>(end - begin);
  ++total.calls;
  busy += static_cast<double>(end - begin);
  last = std::max(last, end);
}

void CUPTIAPI give_buffer(uint8_t** buffer, size_t* size, size_t* records) {
  *size = size_t{8} << 20;
  *buffer = static_cast<uint8_t*>(std::aligned_alloc(8, *size));
  *records = 0;
}

void CUPTIAPI take_buffer(CUcontext, uint32_t, uint8_t* buffer, size_t, size_t valid) {
  const std::lock_guard lock(mutex);
  CUpti_Activity* record = nullptr;
  while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) {
    switch (record->kind) {
      case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL: {
        // The fields read here are the same in every version of the record.
        const auto* kernel = reinterpret_cast<const CUpti_ActivityKernel9*>(record);
        add(readable(kernel->name), kernel->start, kernel->end);
        break;
      }
      case CUPTI_ACTIVITY_KIND_MEMCPY: {
        const auto* copy = reinterpret_cast<const CUpti_ActivityMemcpy5*>(record);
        add("copy of memory, kind " + std::to_string(copy->copyKind), copy->start, copy->end);
        break;
      }
      case CUPTI_ACTIVITY_KIND_MEMSET: {
        const auto* fill = reinterpret_cast<const CUpti_ActivityMemset4*>(record);
        add("fill of memory", fill->start, fill->end);
        break;
      }
      default:
        break;
    }
  }
  std::free(buffer);
}

void write_totals() {
  cuptiActivityFlushAll(1);
  const std::lock_guard lock(mutex);
  const char* path = std::getenv("KERNEL_TIMES");
  std::FILE* out = path ? std::fopen(path, "w") : stderr;
  if (!out) return;
  std::vector<std::pair<std::string, Total>> rows(totals.begin(), totals.end());
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return a.second.nanoseconds > b.second.nanoseconds;
  });
  std::fprintf(out, "# %.3f ms of kernels in %.3f ms\n", busy / 1e6,
               static_cast<double>(last - std::min(first, last)) / 1e6);
  for (const auto& [name, total] : rows)
    std::fprintf(out, "%10.3f %8lld %10.2f  %s\n", total.nanoseconds / 1e6,
                 static_cast<long long>(total.calls),
                 total.nanoseconds / 1e3 / static_cast<double>(total.calls), name.c_str());
  if (path) std::fclose(out);
}

}  // namespace

extern "C" int InitializeInjection() {
  if (const char* text = std::getenv("KERNEL_TIMES_SKIP"))
    skip = static_cast<uint64_t>(std::atof(text) * 1e9);
  cuptiActivityRegisterCallbacks(give_buffer, take_buffer);
  for (const CUpti_ActivityKind kind : {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
                                        CUPTI_ACTIVITY_KIND_MEMCPY, CUPTI_ACTIVITY_KIND_MEMSET})
    cuptiActivityEnable(kind);
  std::atexit(write_totals);
  return 1;
}
