// SPDX-License-Identifier: Apache-2.0
// A library that the CUDA driver loads into any program: it times each kernel, copy and fill, also
// inside replayed graphs, and writes one line a name when the program ends.
//
//   CUDA_INJECTION64_PATH=build-cuda/bench/profile/libkernel_times.so KERNEL_TIMES=FILE
//   KERNEL_TIMES_BETWEEN=update_kernel:20:60 PROGRAM
//
// KERNEL_TIMES_BETWEEN=NAME:A:B counts what began after the A-th and not after the B-th kernel
// whose name holds NAME: B - A whole steps, with the optimizer's kernel as their end (where states
// are split it runs once a block: there finish_step_kernel). Line: milliseconds, calls,
// microseconds a call, name.
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

struct Record {
  uint64_t begin, end;
  size_t name;
};
std::mutex mutex;
std::map<std::string, size_t> index_of;  // of each mangled name
std::vector<std::string> names;
std::vector<Record> records;

std::string readable(const std::string& name) {
  int status = 0;
  char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  std::string out = status == 0 ? text : name;
  std::free(text);
  return out;
}

void add(const std::string& name, uint64_t begin, uint64_t end) {
  const auto [entry, is_new] = index_of.try_emplace(name, names.size());
  if (is_new) names.push_back(readable(name));
  records.push_back({begin, end, entry->second});
}

void CUPTIAPI give_buffer(uint8_t** buffer, size_t* size, size_t* count) {
  *size = size_t{8} << 20;
  *buffer = static_cast<uint8_t*>(std::aligned_alloc(8, *size));
  *count = 0;
}

void CUPTIAPI take_buffer(CUcontext, uint32_t, uint8_t* buffer, size_t, size_t valid) {
  const std::lock_guard lock(mutex);
  CUpti_Activity* record = nullptr;
  while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) {
    switch (record->kind) {
      case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL: {
        // The fields read here are the same in every version of the record.
        const auto* kernel = reinterpret_cast<const CUpti_ActivityKernel9*>(record);
        add(kernel->name, kernel->start, kernel->end);
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

// Leaves what KERNEL_TIMES_BETWEEN asks for, in order of time.
void cut() {
  std::sort(records.begin(), records.end(),
            [](const Record& a, const Record& b) { return a.begin < b.begin; });
  const char* text = std::getenv("KERNEL_TIMES_BETWEEN");
  if (!text) return;
  const std::string rule = text;
  const size_t first = rule.find(':'), second = rule.rfind(':');
  if (first == std::string::npos || first == second) return;
  const std::string name = rule.substr(0, first);
  const long from = std::atol(rule.c_str() + first + 1), to = std::atol(rule.c_str() + second + 1);
  std::vector<Record> kept;
  long seen = 0;
  for (const Record& record : records) {
    if (seen >= from && seen < to) kept.push_back(record);
    if (names[record.name].find(name) != std::string::npos) ++seen;
  }
  records = std::move(kept);
}

void write_totals() {
  cuptiActivityFlushAll(1);
  const std::lock_guard lock(mutex);
  cut();
  const char* path = std::getenv("KERNEL_TIMES");
  std::FILE* out = path ? std::fopen(path, "w") : stderr;
  if (!out) return;
  struct Total {
    double nanoseconds = 0;
    long long calls = 0;
    size_t name = 0;
  };
  std::vector<Total> totals(names.size());
  double busy = 0;
  uint64_t last = 0;
  for (const Record& record : records) {
    Total& total = totals[record.name];
    const auto time = static_cast<double>(record.end - record.begin);
    total.nanoseconds += time, total.calls += 1, total.name = record.name;
    busy += time;
    last = std::max(last, record.end);
  }
  std::sort(totals.begin(), totals.end(),
            [](const Total& a, const Total& b) { return a.nanoseconds > b.nanoseconds; });
  const double whole = records.empty() ? 0 : static_cast<double>(last - records[0].begin);
  std::fprintf(out, "# %.3f ms of kernels in %.3f ms\n", busy / 1e6, whole / 1e6);
  for (const Total& total : totals) {
    if (total.calls == 0) continue;
    std::fprintf(out, "%10.3f %8lld %10.2f  %s\n", total.nanoseconds / 1e6, total.calls,
                 total.nanoseconds / 1e3 / static_cast<double>(total.calls),
                 names[total.name].c_str());
  }
  if (path) std::fclose(out);
}

}  // namespace

extern "C" int InitializeInjection() {
  cuptiActivityRegisterCallbacks(give_buffer, take_buffer);
  for (const CUpti_ActivityKind kind : {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
                                        CUPTI_ACTIVITY_KIND_MEMCPY, CUPTI_ACTIVITY_KIND_MEMSET})
    cuptiActivityEnable(kind);
  std::atexit(write_totals);
  return 1;
}
