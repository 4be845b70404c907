// SPDX-License-Identifier: Apache-2.0
// Text that is safe inside HTML and SVG, whatever a recipe or a file name holds. Pages are written
// as XHTML-style HTML5, so that both an HTML and an XML parser read them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ocoee::report {

// Escapes & < > " ' for text and attributes; control characters and broken UTF-8 become U+FFFD.
std::string escape(std::string_view text);

// The same, with at most `limit` characters (code points); what is longer ends in an ellipsis.
std::string escape_limited(std::string_view text, size_t limit);

// The first `limit` code points of valid or broken UTF-8; an ellipsis stands for the rest.
std::string shorten(std::string_view text, size_t limit);

// Width in pixels of one line of text in the page's sans-serif font, on the generous side.
double text_width(std::string_view text, double font_size);

struct Column {
  std::string title;
  bool numeric = false;  // right-aligned, figures of one width
};

// A table of plain-text cells (escaped here). Rows named in `strong` are set in bold.
std::string table(const std::vector<Column>& columns,
                  const std::vector<std::vector<std::string>>& rows,
                  const std::vector<size_t>& strong = {});

}  // namespace ocoee::report
