// SPDX-License-Identifier: Apache-2.0
#include "core/error.h"

#include <new>
#include <string_view>

namespace ocoee {
namespace {

std::vector<Translation>& translations() {
  static std::vector<Translation> all;
  return all;
}

}  // namespace

Error as_error(const std::exception& error) {
  if (const auto* own = dynamic_cast<const Error*>(&error)) return *own;
  if (dynamic_cast<const std::bad_alloc*>(&error))
    return {ErrorKind::memory,
            "the host has no memory left for this run\n    fix: lower batch.micro or the model"};
  for (const Translation translation : translations()) {
    if (auto known = translation(error)) return *known;
  }
  return {ErrorKind::internal, error.what()};
}

ErrorText split_fix(const std::string& text) {
  constexpr std::string_view mark = "\n    fix: ";
  const size_t at = text.rfind(mark);
  if (at == std::string::npos) return {text, ""};
  return {text.substr(0, at), text.substr(at + mark.size())};
}

void translate_errors_by(Translation translation) {
  translations().push_back(translation);
}

const char* name_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::internal:
      return "internal error";
    case ErrorKind::config:
      return "recipe error";
    case ErrorKind::data:
      return "data error";
    case ErrorKind::file:
      return "file error";
    case ErrorKind::comm:
      return "communication error";
    case ErrorKind::device:
      return "device error";
    case ErrorKind::memory:
      return "out of memory";
    case ErrorKind::numerics:
      return "numerical error";
    case ErrorKind::interrupted:
      return "interrupted";
  }
  return "error";
}

const char* meaning_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::internal:
      return "a bug in Ocoee; please report it";
    case ErrorKind::config:
      return "a recipe or a command line that cannot mean anything, or a recipe that names a file "
             "that is not there; nothing has run";
    case ErrorKind::data:
      return "an input that is broken or of the wrong format, a damaged checkpoint, a run "
             "directory "
             "that is not there";
    case ErrorKind::file:
      return "a file that cannot be written or read: a full disk, permissions, a library of this "
             "program "
             "that is gone";
    case ErrorKind::comm:
      return "a rank that died, hung or called another collective than its peers";
    case ErrorKind::device:
      return "a GPU that is missing or failed";
    case ErrorKind::memory:
      return "no memory left, on the host or on a GPU";
    case ErrorKind::numerics:
      return "NaN, repeated overflow, or gradients that stay zero";
    case ErrorKind::interrupted:
      return "stopped on request, with a checkpoint written where anything was computed; the same "
             "command goes on";
  }
  return "";
}

const std::vector<ErrorKind>& error_kinds() {
  static const std::vector<ErrorKind> kinds{
      ErrorKind::internal, ErrorKind::config,   ErrorKind::data,
      ErrorKind::file,     ErrorKind::comm,     ErrorKind::device,
      ErrorKind::memory,   ErrorKind::numerics, ErrorKind::interrupted};
  return kinds;
}

void check_failed(const char* condition, const char* file, int line, const std::string& message) {
  throw Error(
      ErrorKind::internal,
      fmt::format("{}:{}: '{}' does not hold{}{}. This is a bug in Ocoee; please report it.", file,
                  line, condition, message.empty() ? "" : ": ", message));
}

}  // namespace ocoee
