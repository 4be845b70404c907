// SPDX-License-Identifier: Apache-2.0
#include "cli/calibrate.h"
#include "core/error.h"

namespace ocoee::cli {

namespace {
[[noreturn]] void no_products() {
  fail(ErrorKind::config,
       "this program was built without LibTorch, whose matrix products it would measure\n    fix: "
       "./dev build, or take a profile of machines/");
}
}  // namespace

DeviceFigures measure_device(const device::Device&, int, bool) {
  no_products();
}
OverlapFigures measure_overlap(comm::Mesh&, comm::Communicator&, Beside) {
  no_products();
}

}  // namespace ocoee::cli
