// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/world.h"

namespace ocoee::testing_support {

// The world of this test program, started by mpi_main.cpp before the first test.
comm::World& world();

}  // namespace ocoee::testing_support
