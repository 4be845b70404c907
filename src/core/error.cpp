// SPDX-License-Identifier: Apache-2.0
#include "core/error.h"

namespace ocoee {

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

void check_failed(const char* condition, const char* file, int line, const std::string& message) {
  throw Error(
      ErrorKind::internal,
      fmt::format("{}:{}: '{}' does not hold{}{}. This is a bug in Ocoee; please report it.", file,
                  line, condition, message.empty() ? "" : ": ", message));
}

}  // namespace ocoee
