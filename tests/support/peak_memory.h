// SPDX-License-Identifier: Apache-2.0
// How far this process's resident memory rises, as the kernel sees it. The address sanitizer holds
// freed blocks back (its quarantine), which counts as no rise; the thread sanitizer keeps four
// bytes of its own for each byte that is touched.
#pragma once

#include <malloc.h>

#include <cstdint>
#include <fstream>
#include <string>

namespace ocoee::testing_support {

class PeakMemory {
 public:
  PeakMemory() {
    ::malloc_trim(0);  // what was freed before must not hide what is taken
    std::ofstream("/proc/self/clear_refs") << "5";  // the peak begins anew (proc(5))
    before_ = bytes_of("VmRSS:");
  }
  int64_t rise() const { return (seen() - kHeldBack) / kBytesEach; }  // for bounds from above
  int64_t seen() const { return bytes_of("VmHWM:") - before_; }       // for bounds from below

 private:
#ifdef __SANITIZE_ADDRESS__
  // quarantine_size_mb is 256, and an eighth of that are its notes on those bytes.
  static constexpr int64_t kHeldBack = int64_t{288} << 20;
#else
  static constexpr int64_t kHeldBack = 0;
#endif
#ifdef __SANITIZE_THREAD__
  static constexpr int64_t kBytesEach = 5;
#else
  static constexpr int64_t kBytesEach = 1;
#endif
  static int64_t bytes_of(const std::string& key) {
    std::ifstream status("/proc/self/status");
    std::string word;
    int64_t kib = -1;
    while (status >> word)
      if (word == key) status >> kib;
    return kib * 1024;
  }
  int64_t before_;
};

}  // namespace ocoee::testing_support
