// SPDX-License-Identifier: Apache-2.0
// Where the time goes: named spans on this process's timeline, kept in a bounded buffer until run
// writes trace.json. A span costs two clock reads. Names are string literals.
#pragma once

#include <cstdint>
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
std::vector<Span> take();                // the spans so far; the buffer is emptied
double total_seconds(const char* name);  // over the whole process, whatever was taken

class Scope {
 public:
  explicit Scope(const char* name, const char* track = "compute")
      : name_(name), track_(track), begin_(now_seconds()) {}
  ~Scope();
  Scope(const Scope&) = delete;

 private:
  const char* name_;
  const char* track_;
  double begin_;
};

}  // namespace ocoee::trace
