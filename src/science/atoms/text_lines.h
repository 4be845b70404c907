// SPDX-License-Identifier: Apache-2.0
// A text taken line by line, whose complaints name the place. For the readers of this folder.
#pragma once

#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace ocoee::atoms {

// The words of a line, separated by blanks.
inline std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (size_t at = 0;;) {
    at = line.find_first_not_of(" \t\r", at);
    if (at == std::string_view::npos) return words;
    const size_t end = std::min(line.find_first_of(" \t\r", at), line.size());
    words.push_back(line.substr(at, end - at));
    at = end;
  }
}

template <class Number>
std::optional<Number> number_of(std::string_view word) {
  if (word.starts_with('+')) word.remove_prefix(1);
  Number value{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

class TextLines {
 public:
  TextLines(std::string_view text, std::string name) : text_(text), name_(std::move(name)) {}

  bool at_end() const { return text_.empty(); }
  size_t bytes_left() const { return text_.size(); }
  int line() const { return line_; }
  std::string where() const { return fmt::format("{}:{}", name_, line_); }

  // The next line without its end; `what` should stand there.
  std::string_view next(const char* what) {
    ++line_;
    if (text_.empty()) complain("the file ends where {} should stand", what);
    const size_t end = text_.find('\n');
    std::string_view line = text_.substr(0, end);
    text_.remove_prefix(end == std::string_view::npos ? text_.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
  }

  template <class... Args>
  [[noreturn]] void complain(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error(ErrorKind::data, where() + ": " + fmt::format(format, std::forward<Args>(args)...));
  }

  double finite(std::string_view word, const char* what) const {
    const std::optional<double> value = number_of<double>(word);
    if (!value || !std::isfinite(*value)) complain("'{}' is not a number ({})", word, what);
    return *value;
  }

  // Three finite numbers that begin at `words[first]`.
  std::array<double, 3> triple(const std::vector<std::string_view>& words, size_t first,
                               const char* what) const {
    if (words.size() < first + 3)
      complain("three numbers were expected ({}), found {}", what, words.size() - first);
    return {finite(words[first], what), finite(words[first + 1], what),
            finite(words[first + 2], what)};
  }

 private:
  std::string_view text_;
  std::string name_;
  int line_ = 0;
};

}  // namespace ocoee::atoms
