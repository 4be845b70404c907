// SPDX-License-Identifier: Apache-2.0
#include "cli/calibrate.h"
#include "core/error.h"

namespace ocoee::cli {

DeviceFigures measure_device(const device::Device&, int, bool) {
  fail(ErrorKind::config,
       "this program was built without LibTorch, whose matrix products it would measure\n    fix: "
       "./dev build, or take a profile of machines/");
}

}  // namespace ocoee::cli
