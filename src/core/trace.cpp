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
thread_local Scope* innermost = nullptr;

void add(const Span& span, double own_seconds) {
  const std::lock_guard lock(mutex);
  totals[span.name] += own_seconds;
  if (spans.size() < kMostSpans) spans.push_back(span);
}

}  // namespace

double now_seconds() {
  static const auto start = std::chrono::steady_clock::now();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void record(const Span& span) {
  add(span, span.end_seconds - span.begin_seconds);
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

Scope::Scope(const char* name, const char* track, Inside inside)
    : name_(name),
      track_(track),
      outer_(std::exchange(innermost, this)),
      counts_inside_(inside == Inside::counted || (outer_ && outer_->counts_inside_)) {
  if (fence) fence();
  begin_ = now_seconds();
}

Scope::~Scope() {
  if (fence) fence();
  const double end = now_seconds();
  innermost = outer_;
  const bool is_counted_outside = outer_ && outer_->counts_inside_;
  if (outer_ && !is_counted_outside) outer_->inside_ += end - begin_;
  add({name_, track_, begin_, end, current_step}, is_counted_outside ? 0 : end - begin_ - inside_);
}

}  // namespace ocoee::trace
