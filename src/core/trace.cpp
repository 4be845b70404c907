// SPDX-License-Identifier: Apache-2.0
#include "core/trace.h"

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <utility>

namespace ocoee::trace {
namespace {

constexpr size_t kMostSpans = 200000;  // about 10 MB; later spans only count in the totals
std::mutex mutex;
std::vector<Span> spans;
std::map<std::string, double> totals;
std::atomic<int64_t> current_step{0};
thread_local std::function<void()> fence;

}  // namespace

double now_seconds() {
  static const auto start = std::chrono::steady_clock::now();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void record(const Span& span) {
  const std::lock_guard lock(mutex);
  totals[span.name] += span.end_seconds - span.begin_seconds;
  if (spans.size() < kMostSpans) spans.push_back(span);
}

void set_step(int64_t step) {
  current_step = step;
}

std::vector<Span> take() {
  const std::lock_guard lock(mutex);
  return std::exchange(spans, {});
}

double total_seconds(const char* name) {
  const std::lock_guard lock(mutex);
  const auto found = totals.find(name);
  return found == totals.end() ? 0 : found->second;
}

void set_fence(std::function<void()> wait) {
  fence = std::move(wait);
}

Scope::Scope(const char* name, const char* track) : name_(name), track_(track) {
  if (fence) fence();
  begin_ = now_seconds();
}

Scope::~Scope() {
  if (fence) fence();
  record({name_, track_, begin_, now_seconds(), current_step});
}

}  // namespace ocoee::trace
