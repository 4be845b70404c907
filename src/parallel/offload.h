// SPDX-License-Identifier: Apache-2.0
// Saved activations that wait in host memory between forward and backward: a block's are copied out
// when its forward is over, and brought back while the block after it runs backward. On a GPU the
// copies run on a stream of their own, from and to pinned memory, joined by events; the host never
// waits. Bits are unchanged.
#pragma once

#include <ATen/core/Tensor.h>

#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "device/device.h"

namespace ocoee::parallel {

class Offload {
 public:
  explicit Offload(device::Device device);
  ~Offload();

  // The saved tensors of one block of one pass, by their places.
  class Parked {
   public:
    bool empty() const { return ranges_.empty(); }

   private:
    friend class Offload;
    struct Range {  // of one storage, as it was from the first to the last byte that was saved
      device::Memory host;
      at::Tensor back;  // bytes on the device again, once fetched
      int64_t bytes = 0;
    };
    struct View {
      size_t place, range;
      int64_t offset;  // elements into the range
      std::vector<int64_t> sizes, strides;
      c10::ScalarType type;
    };
    std::vector<Range> ranges_;
    std::vector<View> views_;
    std::unique_ptr<device::Event> arrived_;
    bool fetched_ = false;
  };

  // Takes floating-point tensors of some size out of `places`, which are undefined after it.
  // `spared`: tensors that live on anyway (the batch), which stay.
  Parked park(const std::vector<at::Tensor*>& places, const std::vector<at::Tensor>& spared);
  void fetch(Parked& parked);  // the way back begins; twice is once
  void restore(Parked& parked, const std::vector<at::Tensor*>& places);  // as they were

  struct Counters {
    int64_t bytes_out = 0, bytes_back = 0;
    int64_t held = 0, most_held = 0;  // host bytes
  };
  const Counters& counters() const { return counters_; }

 private:
  device::Memory take(size_t bytes);
  void give(device::Memory memory);
  void let_go(size_t most_left);

  device::Device device_;
  std::unique_ptr<device::OwnedStream> copies_;  // GPU
  std::vector<device::Memory> free_;             // pinned memory is slow to get: used again
  struct Leaving {                               // read by a copy that may not be over
    std::vector<at::Tensor> tensors;
    device::Event copied;
  };
  std::deque<Leaving> leaving_;
  Counters counters_;
};

}  // namespace ocoee::parallel
