// SPDX-License-Identifier: Apache-2.0
#include "cli/engine.h"

namespace ocoee::cli {
namespace {

void (*enter_other)() = nullptr;

}  // namespace

void set_engine(void (*enter)()) {
  enter_other = enter;
}

void enter_engine() {
  if (enter_other) enter_other();
}

bool engine_is_elsewhere() {
  return enter_other != nullptr;
}

}  // namespace ocoee::cli
