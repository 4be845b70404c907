// SPDX-License-Identifier: Apache-2.0
// Decompression of gzip streams (RFC 1952), member after member. Used by bytes.cpp alone.
#pragma once

#include <memory>
#include <string>

#include "data/bytes.h"

namespace ocoee::data {

std::unique_ptr<ByteReader> open_gzip(std::unique_ptr<ByteReader> packed, std::string name);

}  // namespace ocoee::data
