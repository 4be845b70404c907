// SPDX-License-Identifier: Apache-2.0
#include "core/shell_word.h"

#include <fmt/format.h>

#include <cstdint>

namespace ocoee {

bool is_utf8(std::string_view bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const auto lead = static_cast<unsigned char>(bytes[at]);
    const size_t length = lead < 0x80                    ? 1
                          : lead >= 0xC2 && lead <= 0xDF ? 2
                          : lead >= 0xE0 && lead <= 0xEF ? 3
                          : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                         : 0;
    if (length == 0 || at + length > bytes.size()) return false;
    uint32_t value = length == 1 ? lead : lead & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; ++i) {
      const auto next = static_cast<unsigned char>(bytes[at + i]);
      if ((next & 0xC0) != 0x80) return false;
      value = value << 6 | (next & 0x3Fu);
    }
    const bool shorter = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
    if (shorter || (value >= 0xD800 && value <= 0xDFFF) || value > 0x10FFFF) return false;
    at += length;
  }
  return true;
}

std::string shell_word(std::string_view word) {
  if (!is_utf8(word)) {
    std::string out = "$'";
    for (const char c : word) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x20 || byte >= 0x7F) {
        out += fmt::format("\\x{:02X}", byte);
      } else {
        if (c == '\'' || c == '\\') out += '\\';
        out += c;
      }
    }
    return out + "'";
  }
  if (!word.empty() && word.find_first_of(" \t\n'\"\\$&|;<>()*?[]{}#~`!") == word.npos)
    return std::string(word);
  std::string quoted;
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return "'" + quoted + "'";
}

}  // namespace ocoee
