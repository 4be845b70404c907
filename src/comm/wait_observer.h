// SPDX-License-Identifier: Apache-2.0
// For measurements: sees where a stream of a GPU comes to wait for an operation. The host does not
// wait there, so only events on the stream can tell how long it takes.
#pragma once

#include <functional>

#include "device/device.h"

namespace ocoee::comm {

// Called on this thread before (`begins`) and after each wait for an operation of more than one
// rank, with the stream that is told to wait; host-staged, also around the copy with which one
// starts. Calls do not nest. Empty: no longer.
using WaitObserver = std::function<void(const device::Stream& stream, bool begins)>;
void observe_waits(WaitObserver observer);

}  // namespace ocoee::comm
