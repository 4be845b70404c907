// SPDX-License-Identifier: Apache-2.0
// A look at the characters of TOML before it is parsed.
#pragma once

#include <string>
#include <string_view>

namespace ocoee::config {

bool is_ascii(std::string_view text);

// The same text with each character of U+0080 to U+FFFF, but a byte order mark at its head, moved
// to U+100000 and above, where Unicode has no meaning for any. As many characters, other bytes.
std::string far_twin(std::string_view text);

// Offset of the first character outside of ASCII where TOML 1.0 allows none: outside of quotes and
// comments, or (as we do not) behind a backslash that ends a line; npos without one. A no-break
// space pasted from a web page is the usual one. Exact in TOML that is sound otherwise.
size_t misplaced_character(std::string_view toml);

}  // namespace ocoee::config
