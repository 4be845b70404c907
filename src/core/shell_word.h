// SPDX-License-Identifier: Apache-2.0
// Words of a command that a person copies into a shell.
#pragma once

#include <string>
#include <string_view>

namespace ocoee {

bool is_utf8(std::string_view bytes);

// The word as a shell would take it: as it is where nothing in it is special, else in quotes. Bytes
// that are no UTF-8, as in the name of a file from elsewhere, as bash's $'\xE9': what is written
// down, into JSON too, is text.
std::string shell_word(std::string_view word);

}  // namespace ocoee
