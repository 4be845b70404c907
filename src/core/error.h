// SPDX-License-Identifier: Apache-2.0
// Errors a user reads. Each says what is wrong, where, what was expected, and how to fix it; its
// kind decides the exit code of the program (docs/reference/exit-codes.md). Broken invariants are
// OCOEE_CHECK, never an Error's text.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace ocoee {

enum class ErrorKind {
  internal = 1,  // a broken invariant: a bug in Ocoee
  config = 2,    // a recipe or a command line that cannot mean anything
  data = 3,      // an input or a checkpoint that is broken or of the wrong format
  file = 4,      // disk full, permission
  comm = 5,      // a peer that died, hung or called another collective
  device = 6,    // a GPU that is missing or failed
  memory = 7,    // out of host or device memory
  numerics = 8,  // NaN, repeated overflow, repeated zero gradients
  interrupted =
      75  // stopped on request with a checkpoint written: run again to go on (EX_TEMPFAIL)
};

inline int exit_code(ErrorKind kind) {
  return static_cast<int>(kind);
}
const char* name_of(ErrorKind kind);
const char* meaning_of(ErrorKind kind);  // when the program ends with it, and what to do
const std::vector<ErrorKind>& error_kinds();

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

template <class... Args>
[[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...));
}

// An Error's text is what is wrong and, on a line of its own, how to mend it. Of several problems
// in one text the last one's fix is taken; the others keep theirs.
struct ErrorText {
  std::string what, fix;  // fix: empty where there is none
};
ErrorText split_fix(const std::string& text);

// What was thrown, as an Error: std::bad_alloc is one of memory, what nobody knows is internal.
Error as_error(const std::exception& error);
// A room that uses a library with exceptions of its own says what they mean: an Error, or nothing.
using Translation = std::optional<Error> (*)(const std::exception&);
void translate_errors_by(Translation translation);

[[noreturn]] void check_failed(const char* condition, const char* file, int line,
                               const std::string& message);

}  // namespace ocoee

// An invariant of the program: never the way to report a user's mistake.
#define OCOEE_CHECK(condition, ...)                                                       \
  do {                                                                                    \
    if (!(condition))                                                                     \
      ::ocoee::check_failed(#condition, __FILE__, __LINE__, fmt::format("" __VA_ARGS__)); \
  } while (false)
