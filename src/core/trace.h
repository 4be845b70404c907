// SPDX-License-Identifier: Apache-2.0
// Where the time goes: named spans on this process's timeline, kept in a bounded buffer until run
// writes trace.json. A span costs two clock reads. Names are string literals.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ocoee::trace {

struct Span {
  const char* name;      // "forward", "backward", "all_reduce", "optimizer", "data", "checkpoint"
  const char* track;     // "compute", "comm:data", "io"
  double begin_seconds;  // since the process began to trace
  double end_seconds;
  int64_t step;
};

double now_seconds();
void record(const Span& span);
void set_step(int64_t step);
std::vector<Span> take();  // the spans so far; the buffer is emptied
// Of spans of this name, over the whole process, whatever was taken; without the spans inside them,
// so that no second counts twice; a span with Inside::counted takes what runs within as its own.
double total_seconds(const char* name);
// Called where a span begins and ends, of this thread, until it is set to nothing: a wait for the
// device, so that spans of a profiled step cover what the device did and not only how long it took
// to ask for it.
void set_fence(std::function<void()> fence);

// Whether the totals keep spans that begin within a span apart from it.
enum class Inside { apart, counted };

class Scope {
 public:
  explicit Scope(const char* name, const char* track = "compute", Inside inside = Inside::apart);
  ~Scope();
  Scope(const Scope&) = delete;

 private:
  const char* name_;
  const char* track_;
  Scope* outer_;        // of this thread
  bool counts_inside_;  // of this span, or of one around it
  double begin_, inside_ = 0;
};

}  // namespace ocoee::trace
