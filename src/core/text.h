// SPDX-License-Identifier: Apache-2.0
// Small text helpers: nearest valid name, sizes and durations that people read, hashes of text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ocoee {

// The candidate within a third of `name`'s length in edits, or "" when none is near.
std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::vector<std::string> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);

std::string format_bytes(double bytes);                // "1.50 GiB"
std::string counted(int64_t count, const char* what);  // "1 layer", "2 layers"
std::string format_count(double count);                // "124 M"
std::string format_flops(double count);                // "26 GFLOP", "256 FLOP"
std::string format_seconds(double seconds);            // "2 min 05 s"

uint64_t hash64(std::string_view text);  // FNV-1a, mixed: stable for ever (it feeds random keys)

}  // namespace ocoee
