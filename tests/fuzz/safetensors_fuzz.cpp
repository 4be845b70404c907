// SPDX-License-Identifier: Apache-2.0
// A safetensors file from hostile bytes: it is refused with an Error(data), or its tensors fill the
// data without a hole and have the bytes that their shapes need.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/error.h"
#include "run/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocoee;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const run::SafetensorsHeader header = run::parse_safetensors_header(bytes, size, "fuzz");
    uint64_t at = 0;
    for (const run::TensorEntry& entry : header.tensors) {
      uint64_t expected = size_of(entry.dtype);
      for (const int64_t extent : entry.shape) expected *= static_cast<uint64_t>(extent);
      if (entry.begin != at || entry.end - entry.begin != expected) std::abort();
      at = entry.end;
    }
    if (header.data_offset + at != size) std::abort();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::data) std::abort();
  }
  return 0;
}
