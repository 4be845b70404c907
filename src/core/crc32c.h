// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace ocoee {

// The checksum of Castagnoli's polynomial (RFC 3720, appendix B.4), as TFRecord files have it.
uint32_t crc32c(const void* data, size_t bytes);

}  // namespace ocoee
