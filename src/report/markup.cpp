// SPDX-License-Identifier: Apache-2.0
#include "report/markup.h"

#include <algorithm>
#include <cstdint>

namespace ocoee::report {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
constexpr std::string_view kEllipsis = "\xE2\x80\xA6";

struct CodePoint {
  uint32_t value = 0xFFFD;
  size_t bytes = 1;
  bool valid = false;
};

// One code point of UTF-8 that XML 1.0 allows; overlong forms, surrogates and control characters
// are not valid.
CodePoint next_code_point(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(at);
  if (lead < 0x80) {
    const bool allowed =
        (lead >= 0x20 && lead != 0x7F) || lead == '\t' || lead == '\n' || lead == '\r';
    return {lead, 1, allowed};
  }
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (length == 0 || lead > 0xF4 || at + length > text.size()) return {};
  uint32_t value = lead & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return {};
    value = value << 6 | (byte(at + i) & 0x3Fu);
  }
  constexpr uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  const bool valid = value >= smallest[length] && value >= 0xA0 && value <= 0x10FFFF &&
                     value != 0xFFFE && value != 0xFFFF && !surrogate;
  return {value, length, valid};
}

void append_escaped(std::string& out, std::string_view bytes, const CodePoint& c) {
  if (!c.valid) {
    out += kReplacement;
  } else if (c.bytes > 1) {
    out += bytes;
  } else {
    switch (c.value) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '\r':
        break;  // of CRLF
      default:
        out += static_cast<char>(c.value);
    }
  }
}

}  // namespace

std::string escape(std::string_view text) {
  return escape_limited(text, text.size());
}

std::string escape_limited(std::string_view text, size_t limit) {
  std::string out;
  out.reserve(std::min(text.size(), limit) + 16);
  size_t count = 0;
  for (size_t at = 0; at < text.size(); ++count) {
    if (count >= limit) {
      out += kEllipsis;
      break;
    }
    const CodePoint c = next_code_point(text, at);
    append_escaped(out, text.substr(at, c.bytes), c);
    at += c.bytes;
  }
  return out;
}

std::string shorten(std::string_view text, size_t limit) {
  std::string out;
  size_t count = 0;
  for (size_t at = 0; at < text.size(); ++count) {
    if (count >= limit) return out + std::string(kEllipsis);
    const CodePoint c = next_code_point(text, at);
    out += c.valid ? text.substr(at, c.bytes) : kReplacement;
    at += c.bytes;
  }
  return out;
}

double text_width(std::string_view text, double font_size) {
  double em = 0;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = next_code_point(text, at);
    at += c.bytes;
    if (c.value == ' ' || c.value == 0x202F || c.value == '.' || c.value == ',' || c.value == ':' ||
        c.value == 'i' || c.value == 'l' || c.value == '|' || c.value == '\'') {
      em += 0.32;
    } else if (c.value == 'm' || c.value == 'M' || c.value == 'w' || c.value == 'W' ||
               c.value == '@') {
      em += 0.92;
    } else if (c.value >= 'A' && c.value <= 'Z') {
      em += 0.68;
    } else if (c.value >= 0x2070 && c.value <= 0x209F) {
      em += 0.42;
    } else if (c.value >= 0x2E80) {
      em += 1.0;
    } else {
      em += 0.6;
    }
  }
  return em * font_size;
}

std::string table(const std::vector<Column>& columns,
                  const std::vector<std::vector<std::string>>& rows,
                  const std::vector<size_t>& strong) {
  std::string out = "<div class=\"scroll\"><table><thead><tr>";
  for (const Column& column : columns) {
    out += column.numeric ? "<th scope=\"col\" class=\"n\">" : "<th scope=\"col\">";
    out += escape(column.title) + "</th>";
  }
  out += "</tr></thead><tbody>";
  for (size_t r = 0; r < rows.size(); ++r) {
    const bool bold = std::find(strong.begin(), strong.end(), r) != strong.end();
    out += bold ? "<tr class=\"strong\">" : "<tr>";
    for (size_t c = 0; c < columns.size(); ++c) {
      out += columns[c].numeric ? "<td class=\"n\">" : "<td>";
      if (c < rows[r].size()) out += escape_limited(rows[r][c], 2000);
      out += "</td>";
    }
    out += "</tr>";
  }
  return out + "</tbody></table></div>\n";
}

}  // namespace ocoee::report
