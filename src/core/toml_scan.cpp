// SPDX-License-Identifier: Apache-2.0
#include "core/toml_scan.h"

#include <algorithm>
#include <cstdint>

namespace ocoee::config {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_ascii(char c) {
  return static_cast<unsigned char>(c) < 0x80;
}

// From the opening quote at `at` to behind the closing one, or to where the text breaks off.
// `foreign` is set to a misplaced character inside.
size_t skip_quoted(std::string_view toml, size_t at, size_t& foreign) {
  const char quote = toml[at];
  const std::string_view three = quote == '"' ? "\"\"\"" : "'''";
  const bool lines = toml.substr(at, 3) == three;
  at += lines ? 3 : 1;
  while (at < toml.size()) {
    if (!lines && toml[at] == '\n') return at;
    if (toml[at] == '\\' && quote == '"') {
      const size_t escaped = ++at;
      while (lines && at < toml.size() && std::string_view(" \t\r\n").find(toml[at]) < 4) ++at;
      if (at < toml.size() && !is_ascii(toml[at])) {
        foreign = at;
        return at;
      }
      if (at == escaped) ++at;
      continue;
    }
    if (toml[at] == quote) {
      if (!lines) return at + 1;
      if (toml.substr(at, 3) == three) {
        at += 3;
        for (int more = 0; more < 2 && at < toml.size() && toml[at] == quote; ++more) ++at;
        return at;
      }
    }
    ++at;
  }
  return at;
}

}  // namespace

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return is_ascii(c); });
}

std::string far_twin(std::string_view text) {
  std::string out;
  const auto bits = [&](size_t at) { return static_cast<unsigned char>(text[at]) & 0x3Fu; };
  size_t at = text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  out = text.substr(0, at);
  while (at < text.size()) {
    const auto head = static_cast<unsigned char>(text[at]);
    const size_t length = head >= 0xC0 && head < 0xE0 ? 2 : head >= 0xE0 && head < 0xF0 ? 3 : 0;
    if (length == 0 || at + length > text.size()) {
      out += text[at++];
      continue;
    }
    uint32_t character = length == 2 ? head & 0x1Fu : head & 0x0Fu;
    for (size_t i = 1; i < length; ++i) character = character << 6 | bits(at + i);
    out += '\xF4';  // of U+100000 to U+10FFFF in UTF-8
    for (const int shift : {12, 6, 0})
      out += static_cast<char>(0x80u | (character >> shift & 0x3Fu));
    at += length;
  }
  return out;
}

size_t misplaced_character(std::string_view toml) {
  size_t foreign = std::string_view::npos;
  size_t at = toml.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  while (at < toml.size() && foreign == std::string_view::npos) {
    const char c = toml[at];
    if (c == '"' || c == '\'') {
      at = skip_quoted(toml, at, foreign);
    } else if (c == '#') {
      at = std::min(toml.find('\n', at), toml.size());
    } else {
      if (!is_ascii(c)) return at;
      ++at;
    }
  }
  return foreign;
}

}  // namespace ocoee::config
