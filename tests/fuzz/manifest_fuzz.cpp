// SPDX-License-Identifier: Apache-2.0
// A checkpoint's manifest from hostile bytes: it is refused with an Error(data), or it means the
// same when it is written again.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/error.h"
#include "run/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocoee;
  std::string written;
  try {
    written = run::to_text(
        run::parse_manifest(std::string(reinterpret_cast<const char*>(data), size), "fuzz"));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::data) std::abort();
    return 0;
  }
  if (run::to_text(run::parse_manifest(written, "again")) != written) std::abort();
  return 0;
}
