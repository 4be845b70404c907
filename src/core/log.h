// SPDX-License-Identifier: Apache-2.0
// Log lines for people, on standard error. Rank 0 speaks; other ranks only warn, and are named when
// they do.
#pragma once

#include <fmt/format.h>

#include <string>

namespace ocoee::log {

enum class Level { debug, info, warning, error };

// Once per process, after the launcher is known. `size` 1 leaves the rank out of the lines.
void set_rank(int rank, int size);
void set_level(Level level);

void write(Level level, const std::string& message);

template <class... A>
void debug(fmt::format_string<A...> f, A&&... a) {
  write(Level::debug, fmt::format(f, std::forward<A>(a)...));
}
template <class... A>
void info(fmt::format_string<A...> f, A&&... a) {
  write(Level::info, fmt::format(f, std::forward<A>(a)...));
}
template <class... A>
void warn(fmt::format_string<A...> f, A&&... a) {
  write(Level::warning, fmt::format(f, std::forward<A>(a)...));
}
template <class... A>
void error(fmt::format_string<A...> f, A&&... a) {
  write(Level::error, fmt::format(f, std::forward<A>(a)...));
}

}  // namespace ocoee::log
